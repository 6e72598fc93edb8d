"""The commands `pasam serve` and `pasam demo`: the service, and its page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pasam.cli import options
from pasam.config.params_file import DEFAULT_PATH
from pasam.errors import ParamsError, PasamError
from pasam.files import temporary_folder

if TYPE_CHECKING:
    from pasam.inference.model_files import ModelFiles
    from pasam.serving.service import ModelPool, Settings

SCORES = Path("reports/scores.json")
"""Where the pipeline leaves the report's numbers."""
PORT = 8000

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        autocompletion=options.complete_model,
        help="Repeatable, the default first; as for `pasam predict`. Without it: the champion, "
        "all trained models, and sam; the packaged PA-SAM before those that have seen synthetic "
        "images only.",
    ),
]
Host = Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 is every one.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")]
Token = Annotated[
    Path | None,
    typer.Option(help="File with a token that every request has to bring.", dir_okay=False),
]
Names = Annotated[
    list[str] | None,
    typer.Option(help="Repeatable. A host name under which others reach the service."),
]
Report = Annotated[Path, typer.Option(help="The report's numbers, shown beside the models.")]
Feedback = Annotated[
    Path | None,
    typer.Option(
        help="Take corrected masks, with their images, into this folder; `pasam data review` "
        "decides about them. Off without it.",
        file_okay=False,
    ),
]
Upload = Annotated[int, typer.Option(min=1, help="Megabytes of a request.")]
Megapixels = Annotated[int, typer.Option(min=1, help="Million pixels of an image.")]
Prompts = Annotated[int, typer.Option(min=1, help="Prompts of a request.")]
Waiting = Annotated[int, typer.Option(min=1, help="Prompts that may wait; more get 429.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print address and models as JSON.")]
Cache = Annotated[int, typer.Option(min=1, help="Megabytes of embedded images that are kept.")]


def serve(
    model: Models = None,
    host: Host = "127.0.0.1",
    port: Port = PORT,
    token_file: Token = None,
    name: Names = None,
    max_upload_mb: Upload = 32,
    max_megapixels: Megapixels = 25,
    max_prompts: Prompts = 64,
    max_waiting: Waiting = 256,
    max_cache_mb: Cache = 256,
    scores: Report = SCORES,
    feedback: Feedback = None,
    as_json: AsJson = False,
    device: options.Device = "auto",
    base: options.Base = None,
    adapters: options.Adapters = options.ADAPTERS,
    params_file: options.ParamsFile = DEFAULT_PATH,
) -> None:
    """Answer prompts over HTTP, and serve the page that shows them.

    A model whose file or alias changes is exchanged while the service runs. Stop it with Ctrl-C:
    requests in flight are finished first.

    Example: pasam serve --model champion --model sam --port 8000
    """
    from pasam.serving.limits import MEGA, Limits
    from pasam.serving.request_guard import read_token
    from pasam.serving.server import is_loopback
    from pasam.serving.service import Settings

    limits = Limits(
        upload_bytes=max_upload_mb * MEGA, pixels=max_megapixels * MEGA, prompts=max_prompts,
        waiting_prompts=max_waiting, cache_bytes=max_cache_mb * MEGA,
    )  # fmt: skip
    token = None if token_file is None else read_token(token_file)
    settings = Settings(
        limits=limits, token=token, loopback_only=is_loopback(host), scores=scores,
        names=tuple(name or ()), feedback=feedback,
    )  # fmt: skip
    if not settings.loopback_only and settings.token is None:
        raise ParamsError(
            f"whoever reaches {host} could use this service, and no token is asked for. Write one "
            "into a file (python -c 'import secrets; print(secrets.token_hex())' > token; chmod "
            "600 token) and give --token-file token, or leave out --host."
        )
    with temporary_folder() as versions:
        offered = offered_models(model, device, base, adapters, params_file, Path(versions))
        _run(offered, settings, host=host, port=port, browser=False, as_json=as_json)


def demo(
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    port: Port = 0,
    model: Models = None,
    as_json: AsJson = False,
    device: options.Device = "auto",
    base: options.Base = None,
    adapters: options.Adapters = options.ADAPTERS,
    params_file: options.ParamsFile = DEFAULT_PATH,
) -> None:
    """Open the page: click on an image and see what SAM, HQ-SAM and PA-SAM make of it.

    Example: pasam demo
    """
    from pasam.serving.service import Settings

    with temporary_folder() as versions:
        offered = offered_models(model, device, base, adapters, params_file, Path(versions))
        settings = Settings(scores=SCORES)
        _run(offered, settings, host="127.0.0.1", port=port, browser=browser, as_json=as_json)


def offered_models(
    names: list[str] | None,
    device: str,
    base: Path | None,
    adapters: Path,
    params_file: Path,
    versions: Path,
) -> ModelPool:
    """Load the models that are named, or all that there are.

    The folder `versions`, for the registry's, is needed as long as the models are.

    Raises:
        PasamError: One cannot be opened.
    """
    from pasam.inference.model_files import find_model, open_model
    from pasam.serving.last_good import LastGood, folder_of
    from pasam.serving.registered_versions import RegisteredVersions
    from pasam.serving.server import release_memory_soon
    from pasam.serving.service import ModelPool, available

    release_memory_soon()
    base = options.fetched_base(base)
    resolve = RegisteredVersions(Path(), versions)
    last_good = LastGood(folder_of(Path()))

    def known(name: str) -> ModelFiles | None:
        """Whether a name stands for a version; at the start the last good one is as good."""
        try:
            return resolve(name)
        except PasamError:
            kept = None if offered.all() else last_good.get(name)
            if kept is None:
                raise
            return kept

    offered = ModelPool(
        lambda: names or available(params_file, adapters, known, packaged=base is None),
        find=lambda name: find_model(
            name, params_file=params_file, adapters=adapters, base=base, resolve=resolve
        ),
        open_files=lambda files: open_model(files, device=device),
        last_good=last_good,
    )
    offered.refresh()
    return offered


def _run(
    offered: ModelPool, settings: Settings, *, host: str, port: int, browser: bool, as_json: bool
) -> None:
    from pasam.inference.model_files import SEEN_WORDS
    from pasam.serving.server import address_of, listen, run_server
    from pasam.serving.web_app import create_app

    with listen(host, port) as taken:
        address = address_of(taken)

        def announce() -> None:
            models = [(each.name, each.version, SEEN_WORDS[each.seen]) for each in offered.all()]
            keys = ("name", "version", "trained_on")
            described = [dict(zip(keys, each, strict=True)) for each in models]
            if as_json:  # one line, since the program that started this waits for it
                typer.echo(json.dumps({"address": address, "models": described}))
            else:
                for name, version, seen in models:
                    typer.echo(f"Model: {name} ({version}), {seen}")
                typer.echo(f"Page: {address}    stop with Ctrl-C")
            if browser:
                typer.launch(address)

        level = "warning" if browser else "info"
        try:
            run_server(create_app(offered, settings), taken, log_level=level, when_ready=announce)
        except KeyboardInterrupt:  # said again by the server once all is finished
            raise typer.Exit(130) from None
