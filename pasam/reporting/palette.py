"""Every colour of the reports; told apart with any colour vision (Okabe and Ito's set)."""

INK = "#1F2328"
"""Text and outlines."""
MUTED = "#6B7280"
"""Secondary text, axes, grid labels."""
RULE = "#D9DDE3"
"""Grid lines and frames."""
PAPER = "#FFFFFF"

TRUE_POSITIVE = "#56B4E9"
FALSE_POSITIVE = "#D55E00"
FALSE_NEGATIVE = "#F0E442"

BOX = "#F0E442"
"""The box prompt, drawn over a dark edge so that it shows on any image."""
POSITIVE_POINT = "#56B4E9"
NEGATIVE_POINT = "#D55E00"

UNCERTAINTY_MAP = "magma"
"""Matplotlib colour map of the uncertainty; its lightness grows evenly."""

MODELS = {
    "oracle": "#8C929B",
    "sam": "#E69F00",
    "hq_sam": "#0072B2",
    "pa_sam": "#009E73",
    "pa_sam_plus": "#CC79A7",
}
OTHERS = ("#56B4E9", "#D55E00", "#000000")
"""Models without a colour of their own take these in turn."""

PAGE_MODELS = {
    "oracle": ("#6B7280", "#A2A9B2"),
    "sam": ("#B06F00", "#F0A93A"),
    "hq_sam": ("#0067A3", "#5AB4EC"),
    "pa_sam": ("#007A59", "#3ECFA0"),
    "pa_sam_plus": ("#A8497F", "#E08FBF"),
}
"""The same hues on the page, on light and on dark ground, each with a contrast of 3:1 or more."""
PAGE_OTHERS = (
    ("#5B5FC7", "#A9ACF5"), ("#B34700", "#FF9257"), ("#2F7FB3", "#7CC4F0"), ("#6A5A00", "#D9C93A"),
)  # fmt: skip
"""Series of the page that are no model of Table 1, on light and on dark ground."""


def rgb(colour: str) -> tuple[int, int, int]:
    """Turn "#RRGGBB" into its three values in 0..255."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return red, green, blue


def model_colours(models: list[str]) -> dict[str, str]:
    """Give every model its colour; what a known model gets does not depend on the others."""
    unknown = [model for model in models if model not in MODELS]
    spare = {model: OTHERS[i % len(OTHERS)] for i, model in enumerate(unknown)}
    return {model: MODELS.get(model) or spare[model] for model in models}
