// Before and after: a line to drag with mouse or finger, or to move with the arrow keys.

/** `stage` is the element of the template; `tapped(x, y)` is told of a click, in shares of the picture. */
export function makeComparable(stage, tapped) {
  const wipe = stage.querySelector(".wipe");

  function show(percent) {
    wipe.value = Math.min(100, Math.max(0, percent));
    stage.style.setProperty("--wipe", `${wipe.value}%`);
    wipe.setAttribute("aria-valuetext", `${wipe.value} % as it was, ${100 - wipe.value} % restored`);
  }

  function place(event) {
    const box = stage.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  }

  let start = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    start = { x: event.clientX, moved: false };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (start === null) return;
    if (Math.abs(event.clientX - start.x) > 4) start.moved = true;
    if (!start.moved) return;
    stage.classList.add("dragging");
    show(100 * place(event).x);
  });
  const end = (event) => {
    if (start !== null && !start.moved && event.type === "pointerup") {
      const { x, y } = place(event);
      if (!tapped(x, y)) show(100 * x);
    }
    start = null;
    stage.classList.remove("dragging");
  };
  stage.addEventListener("pointerup", end);
  stage.addEventListener("pointercancel", end);
  wipe.addEventListener("input", () => show(Number(wipe.value)));
  show(50);
}
