"""Tests of the ten questions together."""

from made_up_run import made_up_ablations, made_up_diagnostics

from pasam.reporting.questions import answers


def test_there_are_ten_in_their_order(results):
    found = answers(results)
    assert [answer.number for answer in found] == list(range(1, 11))
    assert all(answer.title.endswith("?") and answer.experiment for answer in found)


def test_no_sentence_is_a_constant(make_scores, make_results):
    import pandas as pd

    def run(shift):
        jitter = make_scores(prompt="box_jitter_0.4")
        scores = make_scores()
        rows = scores["model"] == "pa_sam"
        scores.loc[rows, "boundary_iou"] += shift * scores.loc[rows, "complexity"] / 10
        gains = dict.fromkeys(
            ("no_mining", "image_features", "adapter_only", "gradient_image"), shift
        )
        return make_results(
            scores,
            conditions=pd.concat([scores, jitter]),
            diagnostics=made_up_diagnostics(dense_change=0.3 + shift, point_spread=0.3 + shift,
                                            uncertainty_auroc=0.7 + shift),
            **made_up_ablations(mining_random=shift, **gains),
        )  # fmt: skip

    one, other = answers(run(0.0)), answers(run(0.1))
    same = [a.number for a, b in zip(one, other, strict=True) if a.sentence == b.sentence]
    assert same == []
    assert all(answer.answered for answer in other)
