// Mouse, pen, touch and keys on the image, turned into points, boxes and moves.

const A_DRAG = 5;

// `on` has point(x, y, label), box(x0, y0, x1, y1), draft(box or null), cross(place or null), moved(),
// command(name), paint(place) while a stroke goes on and painted() at its end, and hover(place or
// null) of a mouse; `tool()` says what a plain click does: in, out, brush, eraser or move.
export function listen(canvas, viewport, tool, on) {
  const fingers = new Map();
  let drag = null;
  let cross = null;
  let corner = null;

  const paints = () => ["brush", "eraser"].includes(tool());
  const place = (event) => {
    const edge = canvas.getBoundingClientRect();
    return { x: event.clientX - edge.left, y: event.clientY - edge.top };
  };
  const boxOf = (a, b) => {
    const [from, to] = [viewport.inside(a.x, a.y), viewport.inside(b.x, b.y)];
    return [from.x, from.y, to.x, to.y];
  };
  const finishBox = ([x0, y0, x1, y1]) => {
    on.draft(null);
    if (Math.abs(x1 - x0) >= 1 && Math.abs(y1 - y0) >= 1) on.box(x0, y0, x1, y1);
  };
  const forgetCross = () => {
    cross = corner = null;
    on.cross(null);
    on.draft(null);
  };

  canvas.addEventListener("contextmenu", (event) => event.preventDefault());

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    const here = place(event);
    fingers.set(event.pointerId, here);
    forgetCross();
    on.hover(null);
    if (fingers.size > 1) {
      if (drag?.paints) on.painted();
      drag = null;
      return;
    }
    const moves = tool() === "move" || event.shiftKey || event.button === 1;
    const out = event.button === 2 || tool() === "out";
    drag = { start: here, last: here, moves, label: out ? 0 : 1, far: false, paints: paints() && !moves };
    if (drag.paints) on.paint(viewport.toImage(here.x, here.y));
  });

  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    const here = place(event);
    if (!before) {
      if (event.pointerType === "mouse") on.hover(viewport.toImage(here.x, here.y));
      return;
    }
    if (fingers.size === 2) pinch(event.pointerId, before, here);
    fingers.set(event.pointerId, here);
    if (!drag) return;
    drag.far ||= Math.hypot(here.x - drag.start.x, here.y - drag.start.y) > A_DRAG;
    if (drag.moves) {
      viewport.move(here.x - drag.last.x, here.y - drag.last.y);
      on.moved();
    } else if (drag.paints) {
      on.paint(viewport.toImage(here.x, here.y));
    } else if (drag.far) {
      on.draft(boxOf(drag.start, here));
    }
    drag.last = here;
  });

  canvas.addEventListener("pointerup", (event) => {
    const here = place(event);
    const ended = drag;
    fingers.delete(event.pointerId);
    drag = null;
    if (!ended || ended.moves) return;
    if (ended.paints) {
      on.painted();
      return;
    }
    if (ended.far) {
      finishBox(boxOf(ended.start, here));
      return;
    }
    const there = viewport.toImage(here.x, here.y);
    const { width, height } = viewport.image;
    if (there.x < 0 || there.y < 0 || there.x > width || there.y > height) return;
    const { x, y } = viewport.inside(here.x, here.y);
    on.point(x, y, ended.label);
  });

  canvas.addEventListener("pointerleave", () => on.hover(null));

  canvas.addEventListener("pointercancel", (event) => {
    fingers.delete(event.pointerId);
    if (drag?.paints) on.painted();
    drag = null;
    on.draft(null);
  });

  function pinch(id, before, here) {
    const [, other] = [...fingers].find(([each]) => each !== id);
    const apart = (a, b) => Math.hypot(a.x - b.x, a.y - b.y) || 1;
    const middle = { x: (here.x + other.x) / 2, y: (here.y + other.y) / 2 };
    viewport.move((here.x - before.x) / 2, (here.y - before.y) / 2);
    viewport.zoom(apart(here, other) / apart(before, other), middle.x, middle.y);
    on.draft(null);
    on.moved();
  }

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const here = place(event);
    viewport.zoom(Math.exp(-event.deltaY * 0.0015), here.x, here.y);
    on.moved();
  }, { passive: false });

  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const COMMANDS = { "+": "larger", "=": "larger", "-": "smaller", 0: "fit", Delete: "clear", Backspace: "clear", n: "next", N: "next" };

  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { width, height } = viewport.image;
    const step = STEPS[event.key];
    cross ??= { x: Math.round(width / 2), y: Math.round(height / 2) };
    if (step) {
      const far = (event.shiftKey ? 0.08 : 0.01) * Math.max(width, height);
      cross.x = Math.min(Math.max(cross.x + step[0] * far, 0), width - 1);
      cross.y = Math.min(Math.max(cross.y + step[1] * far, 0), height - 1);
      if (corner) on.draft([corner.x, corner.y, cross.x, cross.y]);
    } else if (event.key === "Enter" && paints()) {
      on.paint(cross);
      on.painted();
    } else if (event.key === "Enter") {
      on.point(Math.round(cross.x), Math.round(cross.y), event.shiftKey ? 0 : 1);
    } else if (event.key.toLowerCase() === "b") {
      if (corner) finishBox([corner.x, corner.y, cross.x, cross.y].map(Math.round));
      corner = corner ? null : { ...cross };
    } else if (event.key === "Escape") {
      forgetCross();
      return;
    } else if (COMMANDS[event.key]) {
      on.command(COMMANDS[event.key]);
    } else {
      return;
    }
    event.preventDefault();
    on.cross(cross);
  });

  canvas.addEventListener("blur", forgetCross);
}
