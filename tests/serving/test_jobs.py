"""The slow work: uploads decoded and embedded, prompts answered, everything segmented."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_models import objects, picture
from PIL import Image
from serving_world import BOX, encoded_picture, png_that_claims

from pasam.data.exports import ExportedImage
from pasam.errors import DataError, RefusedError
from pasam.inference.automatic_masks import AutomaticMaskOptions, segment_everything
from pasam.inference.image_prompt import PromptRequest, image_prompt
from pasam.inference.predictor import PredictedMasks, PredictionDetails
from pasam.masks.run_lengths import decode, encode
from pasam.serving import jobs
from pasam.serving.jobs import (
    AnnotationsJob,
    Batcher,
    EmbedJob,
    EverythingJob,
    JobProgress,
    PromptJob,
    answer_prompts,
    decode_upload,
    encode_images,
    progress_lines,
    segment_images,
    wait_for,
    wait_for_all,
    write_annotations,
)

MOST = 10_000
PNG = encoded_picture()
QUICK = {"points_per_side": 3, "pred_iou_thresh": 0, "stability_score_thresh": 0.01}


@pytest.fixture(scope="module")
def model(shelf):
    return shelf.offered().get("pa_sam").predictor


@pytest.fixture(scope="module")
def image(model):
    return model.embed(picture(60, 90))


@pytest.fixture(autouse=True)
def short_looks(monkeypatch):
    monkeypatch.setattr(jobs, "LOOK", 0.01)


def job(model, image, **choices):
    usual = {"multimask": False, "details": False, "low_res": False, "form": "rle"}
    return PromptJob(model=model, image=image, prompt=image_prompt(box=BOX), **usual | choices)


def decoded(content):
    return decode_upload(io.BytesIO(content), most_pixels=MOST)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "WEBP", "JPEG"])
def test_usual_images_are_decoded(form):
    found = decoded(encoded_picture(picture(60, 90), form))
    assert found.shape == (60, 90, 3)
    assert np.abs(found.astype(int) - picture(60, 90)).mean() < 12


def test_a_rotated_photograph_is_turned_as_viewers_show_it():
    turned = Image.fromarray(np.rot90(picture(60, 90)))
    exif = turned.getexif()
    exif[0x0112] = 6
    file = io.BytesIO()
    turned.save(file, "PNG", exif=exif)
    assert np.array_equal(decoded(file.getvalue()), picture(60, 90))


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"", 415, "the image is empty"),
        (b"hello", 415, "cannot be decoded"),
        (PNG[: len(PNG) // 2], 415, "cannot be decoded"),
        (PNG[:20], 415, "cannot be decoded"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "cannot be decoded"),
        (b"GIF89a" + bytes(20), 415, "cannot be decoded"),
        (png_that_claims(101, 100), 413, "101 x 100 pixels, where at most 0.01 million"),
        (png_that_claims(11_000, 10_000), 413, "at most 0.01 million"),
        (png_that_claims(60_000, 60_000), 413, "at most 0.01 million"),
        (png_that_claims(0, 5), 415, "cannot be decoded"),
    ],
)
def test_any_other_upload_is_refused_with_a_reason(content, status, message):
    with pytest.raises(RefusedError, match=message) as refused:
        decoded(content)
    assert refused.value.status == status
    assert ("--max-megapixels" in str(refused.value)) is (status == 413)


@settings(max_examples=150)
@given(
    form=st.sampled_from(["PNG", "BMP", "TIFF", "WEBP", "JPEG"]),
    spots=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8),
    end=st.integers(0, 4000),
)
def test_damaged_bytes_decode_or_are_refused_and_nothing_else(form, spots, end):
    content = bytearray(encoded_picture(picture(12, 16), form)[:end])
    for place, value in spots:
        if place < len(content):
            content[place] = value
    with contextlib.suppress(RefusedError):
        assert decoded(bytes(content)).ndim == 3


def test_an_image_above_the_limit_never_reaches_the_encoder(model):
    with pytest.raises(RefusedError, match="90 x 60"):
        encode_images([EmbedJob(io.BytesIO(PNG), model, 100)])


def test_all_forms_hold_the_librarys_mask(model, image):
    expected = model.predict_many([(image, image_prompt(box=BOX))])[0].masks[0]
    rle = answer_prompts([job(model, image)])[0][0]
    png = answer_prompts([job(model, image, form="png")])[0][0]
    values = np.array(Image.open(io.BytesIO(base64.b64decode(png["png"]))))
    assert np.array_equal(decode(rle["segmentation"]), expected)
    assert np.array_equal(values, expected * np.uint8(255))
    assert rle["area"] == expected.sum()


def test_what_comes_out_as_low_res_goes_in_as_a_mask(model, image):
    record = answer_prompts([job(model, image, low_res=True)])[0][0]
    prompt = PromptRequest(mask=record["low_res"]).prompt()
    direct = model.predict_many([(image, image_prompt(box=BOX))])[0].low_res[0]
    assert np.array_equal(prompt.mask, direct)


def test_mined_points_lie_in_the_image_and_sams_mask_is_there(model, image):
    details = answer_prompts([job(model, image, details=True)])[0][0]["details"]
    for x, y in details["positive"] + details["negative"]:
        assert 0 <= x < 90
        assert 0 <= y < 60
    assert decode(details["sam"][0]["segmentation"]).shape == (60, 90)
    assert Image.open(io.BytesIO(base64.b64decode(details["uncertainty"]))).size == (90, 60)


def test_details_are_the_librarys_own_and_keep_their_sides(model, image):
    prompt = image_prompt(box=BOX)
    (direct,) = model.predict_many([(image, prompt)], return_details=True)
    told = answer_prompts([job(model, image, details=True)])[0][0]["details"]
    assert np.array_equal(decode(told["sam"][0]["segmentation"]), direct.details.sam_masks[0])
    assert told["sam"][0]["score"] == pytest.approx(float(direct.details.sam_scores[0]), abs=1e-4)
    for side in ("positive", "negative"):
        mined = [tuple(point) for point in getattr(direct.details, side).tolist()]
        assert [tuple(point) for point in told[side]] == [
            (x, y) for x, y in mined if 0 <= x < 90 and 0 <= y < 60
        ]
    assert told["positive"] != told["negative"]


def test_each_candidate_has_its_number_and_its_own_logits(shelf):
    model = shelf.offered().get("sam").predictor
    image = model.embed(picture(60, 90))
    (direct,) = model.predict_many([(image, image_prompt(box=BOX))], multimask_output=True)
    records = answer_prompts([job(model, image, multimask=True, low_res=True)])[0]
    assert [record["candidate"] for record in records] == [0, 1, 2]
    for record, mask, logits in zip(records, direct.masks, direct.low_res, strict=True):
        assert np.array_equal(decode(record["segmentation"]), mask)
        again = PromptRequest(mask=record["low_res"]).prompt()
        assert np.array_equal(again.mask, logits)


def test_candidates_and_details_weigh_more(model, image):
    plain = job(model, image).pixels
    assert job(model, image, multimask=True).pixels == 3 * plain
    assert job(model, image, details=True).pixels == 7 * plain
    assert job(model, image, details=True, multimask=True).pixels == 9 * plain


@pytest.mark.parametrize("choice", ["multimask", "details"])
def test_only_jobs_that_ask_for_the_same_share_a_pass(choice, model, image, shelf):
    plain, other = job(model, image), job(model, image, **{choice: True})
    assert plain.key != other.key
    assert plain.key != job(shelf.offered().get("sam").predictor, image).key
    assert plain.key == job(model, image, low_res=True, form="png").key  # written one by one


def test_everything_of_an_embedded_image_is_what_the_library_finds(shelf):
    model = shelf.offered().get("sam").predictor
    options = AutomaticMaskOptions(
        points_per_side=4, pred_iou_thresh=0, stability_score_thresh=0.01
    )
    image = objects(60, 90)
    (embedded,) = encode_images([EmbedJob(io.BytesIO(encoded_picture(image)), model, MOST)])
    (found,) = segment_images([EverythingJob(embedded, model, options, "rle", JobProgress())])
    expected = segment_everything(model, image, options)
    assert expected
    assert [each["segmentation"]["counts"] for each in found] == [
        each["segmentation"]["counts"] for each in expected
    ]


def test_a_search_has_its_own_image_options_and_progress_and_is_not_begun_for_nobody(monkeypatch):
    asked = []

    def search(model, image, options, *, embedded, on_progress):
        asked.append((model, image.shape, options, embedded))
        on_progress((len(asked) - 1) / 4)
        return []

    monkeypatch.setattr(jobs, "segment_everything", search)
    frames = [SimpleNamespace(transform=SimpleNamespace(height=h, width=5)) for h in (3, 4)]
    searches = [
        EverythingJob(frame, f"model {frame.transform.height}", frame, "rle", JobProgress())
        for frame in frames
    ]
    assert segment_images(searches) == [[], []]
    assert asked == [
        ("model 3", (3, 5, 3), frames[0], frames[0]), ("model 4", (4, 5, 3), frames[1], frames[1])
    ]  # fmt: skip
    assert [each.progress.fraction for each in searches] == [0.0, 0.25]
    searches[1].progress.leave()
    with pytest.raises(RefusedError, match="nobody waits") as ended:
        segment_images(searches[1:])
    assert (ended.value.status, len(asked)) == (499, 2)


def test_progress_is_told_line_by_line_and_the_last_line_is_the_answer(client):
    files = {"image": encoded_picture(objects(60, 90))}
    plain = client.post("/everything", data=QUICK, files=files).json()
    told = client.post("/everything", data=QUICK | {"progress": True}, files=files)
    assert told.headers["content-type"].startswith("application/x-ndjson")
    *fractions, last = [json.loads(line) for line in told.text.splitlines()]
    assert all(0 <= each["progress"] <= 1 for each in fractions)
    assert last["masks"] == plain["masks"]


def test_a_search_ends_when_whoever_asked_has_gone():
    progress, seen = JobProgress(), threading.Event()

    async def visit():
        answer = asyncio.get_running_loop().create_future()
        with pytest.raises(RefusedError, match="nobody waits") as left:
            await wait_for(answer, progress, gone)
        return answer.cancelled(), left.value.status

    async def gone():
        progress.update(0.5)
        seen.set()
        return True

    assert asyncio.run(visit()) == (True, 499)
    assert seen.is_set()
    with pytest.raises(RefusedError, match="nobody waits"):
        progress.update(0.6)


def test_a_wait_that_is_given_up_ends_the_search_and_one_that_is_answered_keeps_its_answer():
    async def visit(answered):
        answer, progress = asyncio.get_running_loop().create_future(), JobProgress()
        waiting = asyncio.ensure_future(wait_for(answer, progress, lambda: asyncio.sleep(0, False)))
        await asyncio.sleep(0.02)
        answer.set_result("found") if answered else waiting.cancel()
        (done,) = await asyncio.gather(waiting, return_exceptions=True)
        with pytest.raises(RefusedError) as ended:
            progress.update(0.5)
        assert ended.value.status == 499
        return done, answer.cancelled()

    done, ended = asyncio.run(visit(answered=False))
    assert (type(done), ended) == (asyncio.CancelledError, True)
    assert asyncio.run(visit(answered=True)) == ("found", False)


def test_a_reader_who_leaves_in_the_middle_ends_the_search():
    progress = JobProgress()
    progress.fraction = 0.12345

    async def visit():
        answer = asyncio.get_running_loop().create_future()
        lines = progress_lines(answer, progress, json.dumps)
        first = await anext(lines)
        await lines.aclose()
        return first, answer

    first, answer = asyncio.run(visit())
    assert json.loads(first) == {"progress": 0.123}
    assert answer.cancelled()
    with pytest.raises(RefusedError):
        progress.update(1.0)


@pytest.mark.parametrize(
    ("fault", "said"),
    [(DataError("too much"), "too much"), (ValueError("?"), "its log says why")],
)
def test_what_goes_wrong_is_the_last_line(fault, said):
    async def visit():
        answer = asyncio.get_running_loop().create_future()
        answer.set_exception(fault)
        lines = progress_lines(answer, JobProgress(), json.dumps)
        return [json.loads(line) async for line in lines]

    (last,) = asyncio.run(visit())
    assert said in last["error"]


class Bench:
    """A worker that waits to be let go, and notes its batches."""

    def __init__(self, **options):
        self.go, self.begun, self.batches = threading.Event(), threading.Event(), []
        self.batcher = Batcher("jobs", self.work, **{"most_waiting": 8, "most": 4} | options)

    def work(self, jobs):
        self.begun.set()
        assert self.go.wait(10)
        self.batches.append(list(jobs))
        if "bad" in jobs:
            raise ValueError("bad")
        return [str(job) for job in jobs]

    def finish(self, waiting, *, come, beside):
        """Do all that waits, and what client b sends while one job is at work."""
        has_come = threading.Event()

        def working(jobs):
            if jobs == [beside]:
                waiting.extend(self.batcher.submit(come, client="b"))
                has_come.set()
            return self.work(jobs)

        self.batcher._work = working
        self.go.set()
        self.batcher.start()
        assert has_come.wait(10)
        for each in waiting:
            each.result(10)

    def busy(self):
        """Start it with a job in hand, so that what follows has to wait."""
        self.batcher.start()
        first = self.batcher.submit([0])
        assert self.begun.wait(10)
        return first


def test_what_came_in_meanwhile_is_done_together_in_its_order():
    bench = Bench(most_weight=100)
    first = bench.busy()
    rest = bench.batcher.submit([1, 2]) + bench.batcher.submit([3, 4, 5])
    bench.go.set()
    assert [each.result(10) for each in first + rest] == list("012345")
    assert bench.batches == [[0], [1, 2, 3, 4], [5]]
    bench.batcher.close()


def test_only_like_jobs_share_a_batch_and_weight_bounds_it():
    bench = Bench(alike=lambda job: job % 2, weigh=lambda job: job, most_weight=8)
    bench.busy()
    rest = bench.batcher.submit([1, 2, 3, 5, 4, 90])
    bench.go.set()
    for each in rest:
        each.result(10)
    assert bench.batches == [[0], [1, 3], [2, 4], [5], [90]]
    bench.batcher.close()


def test_a_full_queue_refuses_all_of_a_request_or_nothing():
    bench = Bench()
    bench.busy()
    bench.batcher.submit([1] * 6)
    with pytest.raises(RefusedError, match="6 jobs are waiting already, at most 8") as full:
        bench.batcher.submit([2] * 3)
    assert (full.value.status, full.value.retry_after) == (429, 1)
    assert bench.batcher.waiting == 6
    with pytest.raises(RefusedError, match="9 jobs come at once") as never:
        bench.batcher.submit([2] * 9)
    assert never.value.status == 413
    bench.go.set()
    bench.batcher.close()


def test_a_queue_takes_as_many_as_may_wait_at_once_or_one_after_the_other():
    for sizes in ([8], [5, 3]):
        bench = Bench(most_weight=100)
        bench.busy()
        waiting = [each for size in sizes for each in bench.batcher.submit([1] * size)]
        assert bench.batcher.waiting == 8
        with pytest.raises(RefusedError, match="8 jobs are waiting already"):
            bench.batcher.submit([2])
        bench.go.set()
        assert [each.result(10) for each in waiting] == ["1"] * 8
        bench.batcher.close()


def test_a_batch_may_weigh_just_as_much_as_is_allowed():
    bench = Bench(weigh=lambda job: job, most_weight=8)
    bench.busy()
    rest = bench.batcher.submit([3, 5, 1])
    bench.go.set()
    for each in rest:
        each.result(10)
    assert bench.batches == [[0], [3, 5], [1]]
    bench.batcher.close()


def test_a_job_that_fails_fails_alone():
    bench = Bench(most_weight=100)
    bench.busy()
    good, bad, after = bench.batcher.submit([1, "bad", 3])
    bench.go.set()
    assert (good.result(10), after.result(10)) == ("1", "3")
    with pytest.raises(ValueError, match="bad"):
        bad.result(10)
    bench.batcher.close()


def test_closing_finishes_what_waits_and_takes_nothing_more():
    bench = Bench(most_weight=100)
    bench.busy()
    rest = bench.batcher.submit([1, 2])
    bench.go.set()
    bench.batcher.close()
    assert [each.result(0) for each in rest] == ["1", "2"]
    with pytest.raises(RefusedError, match="stopping") as late:
        bench.batcher.submit([3])
    assert (late.value.status, late.value.retry_after) == (503, 5)
    hanging = Bench()
    hanging.busy()
    hanging.batcher.close(0.01)
    assert hanging.batcher._worker.is_alive(), "it is left behind"
    hanging.go.set()


def test_a_job_that_nobody_waits_for_is_not_done():
    bench = Bench(most_weight=100)
    bench.busy()
    gone, kept = bench.batcher.submit([1, 2])
    assert gone.cancel()
    bench.go.set()
    assert kept.result(10) == "2"
    assert bench.batches == [[0], [2]]
    bench.batcher.close()


def test_clients_take_turns():
    bench = Bench(most=1, most_waiting=20)
    bench.busy()
    many = bench.batcher.submit([f"a{i}" for i in range(6)], client="a")
    one = bench.batcher.submit(["b0", "b1"], client="b")
    bench.go.set()
    for each in many + one:
        each.result(10)
    done = [batch[0] for batch in bench.batches[1:]]
    assert done[:4] == ["a0", "b0", "a1", "b1"]
    bench.batcher.close()


def test_who_comes_while_others_are_at_work_takes_turns_with_them_and_no_more():
    bench = Bench(most=1, most_waiting=20)
    waiting = bench.batcher.submit(["a0", "a1", "a2", "a3"], client="a")
    bench.finish(waiting, come=["b0", "b1", "b2"], beside="a1")
    assert [batch[0] for batch in bench.batches] == ["a0", "a1", "b0", "a2", "b1", "a3", "b2"]
    bench.batcher.close()


def test_a_client_that_was_answered_long_ago_takes_turns_with_those_at_work():
    bench = Bench(most=1, most_waiting=20)
    waiting = bench.batcher.submit(["b0"], client="b")
    waiting += bench.batcher.submit([f"a{i}" for i in range(5)], client="a")
    bench.finish(waiting, come=["b1", "b2", "b3"], beside="a3")
    last = [batch[0] for batch in bench.batches[-4:]]
    assert last.index("a4") <= 1, f"{last}: b's turns are those of now, not of its last job"
    bench.batcher.close()


def test_a_client_that_sent_much_before_waits_for_nobody_that_came_later():
    bench = Bench(most=1, most_waiting=20)
    bench.busy()
    waiting = bench.batcher.submit(["a0", "a1", "a2"], client="a")
    waiting += bench.batcher.submit(["b0", "b1"], client="b")
    waiting += bench.batcher.submit(["a3"], client="a")
    waiting += bench.batcher.submit(["c0"], client="c")
    bench.go.set()
    for each in waiting:
        each.result(10)
    done = [batch[0] for batch in bench.batches[1:]]
    assert done == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]
    # Nothing waits any more: what a client sent before does not count against it.
    bench.go.clear()
    bench.begun.clear()
    first = bench.batcher.submit([0])
    assert bench.begun.wait(10)
    again = bench.batcher.submit(["a4"], client="a") + bench.batcher.submit(["d0"], client="d")
    bench.go.set()
    for each in first + again:
        each.result(10)
    assert [batch[0] for batch in bench.batches[-2:]] == ["a4", "d0"]
    bench.batcher.close()


@pytest.mark.parametrize("refused", [3, 9], ids=["no room now", "too many at any time"])
def test_a_client_that_was_refused_has_lost_no_turn_by_it(refused):
    bench = Bench(most=1)
    bench.busy()
    waiting = bench.batcher.submit([f"a{i}" for i in range(6)], client="a")
    for _ in range(3):
        with pytest.raises(RefusedError):
            bench.batcher.submit(["never"] * refused, client="b")
    waiting += bench.batcher.submit(["b0", "b1"], client="b")
    bench.go.set()
    for each in waiting:
        each.result(10)
    done = [batch[0] for batch in bench.batches[1:]]
    assert done == ["a0", "b0", "a1", "b1", "a2", "a3", "a4", "a5"]
    bench.batcher.close()


def test_jobs_whose_client_has_gone_are_left_out():
    bench = Bench(most=1)
    bench.busy()
    waiting = bench.batcher.submit([1, 2, 3])

    async def ask():
        async def gone():
            return True

        with pytest.raises(RefusedError) as left:
            await wait_for_all([asyncio.wrap_future(each) for each in waiting], gone)
        assert left.value.status == 499

    asyncio.run(ask())
    bench.go.set()
    bench.batcher.close()
    assert bench.batches == [[0]]


def test_what_is_refused_ends_the_whole_request_and_what_still_waits_of_it():
    async def ask():
        refused, waits, done = (asyncio.get_running_loop().create_future() for _ in range(3))
        done.set_result([])
        refused.set_exception(RefusedError("too much", status=413))
        with pytest.raises(RefusedError, match="too much"):
            await wait_for_all([done, waits, refused], lambda: asyncio.sleep(0, False))
        return waits.cancelled(), done.result()

    assert asyncio.run(ask()) == (True, [])


def test_annotations_that_nobody_waits_for_any_more_are_not_written_to_the_end():
    code = encode(np.pad(np.ones((4, 5), np.uint8), 2))
    image = ExportedImage("a.png", 8, 9, [("cat", code)])
    kept, left = JobProgress(), JobProgress()
    (files,) = write_annotations([AnnotationsJob([image], "yolo", kept)])
    assert set(files) == {"a.txt", "classes.txt"}
    left.leave()
    for order in ([left], [kept, left]):
        with pytest.raises(RefusedError, match="nobody waits") as ended:
            write_annotations([AnnotationsJob([image], "yolo", each) for each in order])
        assert ended.value.status == 499
    write_annotations([AnnotationsJob([image], "yolo", kept)])


def test_points_beyond_the_last_row_or_column_are_left_out_and_the_first_mask_alone_has_details():
    frame = SimpleNamespace(transform=SimpleNamespace(height=40, width=60))
    masks, logits = np.ones((2, 40, 60), np.bool_), np.zeros((2, 256, 256), np.float32)
    points = np.array([[59, 39], [60, 39], [59, 40], [-1, 0], [0, -1], [0, 0], [45, 5]], np.float32)
    details = PredictionDetails(
        sam_masks=masks[:1], sam_scores=np.array([0.25]), uncertainty=np.zeros((40, 60)),
        coarse=None, refined=None, positive=points, negative=None,
    )  # fmt: skip
    answer = PredictedMasks(masks, np.array([0.9, 0.8]), logits, details)
    first, second = jobs._prompt_records(job(None, frame, details=True, form="png"), answer)
    assert "png" in first["details"]["sam"][0], "SAM's masks are written as the others"
    assert first["details"]["positive"] == [(59.0, 39.0), (0.0, 0.0), (45.0, 5.0)]
    assert first["details"]["negative"] == []
    assert first["details"]["sam"][0]["score"] == 0.25
    assert "details" not in second


def test_the_turned_image_is_not_the_one_that_was_embedded(monkeypatch):
    frame = SimpleNamespace(transform=SimpleNamespace(height=40, width=60))
    asked = job(None, frame, source=io.BytesIO(b"image"))
    monkeypatch.setattr(
        jobs, "decode_upload", lambda file, most_pixels: np.zeros((60, 40, 3), np.uint8)
    )
    with pytest.raises(RefusedError, match="not the one that was embedded"):
        jobs.look_from_near(asked)
