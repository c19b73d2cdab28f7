"use strict";
// Outlines of matplotlib's markers: number of corners, angle of the first one in degrees, and for
// stars and crosses the radius of the inner corners.
const OUTLINES = {
  o: [24, 0], s: [4, 45], "^": [3, -90], D: [4, 0], v: [3, 90], P: [4, 0, 0.35], X: [4, 45, 0.35],
  "<": [3, 180], ">": [3, 0], p: [5, -90], h: [6, 90], "*": [5, -90, 0.4], d: [4, 0],
};
const NOWHERE = 65535;
const ALL = { left: -0.03, top: -0.03, size: 1.06 };

// Draw points on the canvas of a frame. `onHover(i, left, top)` is called for the point under the
// mouse or at the keyboard's cursor (-1 for none), `onPick(i)` for a click or Enter, and `onView()`
// after a change of what is in view.
function songmillMap(frame, groups, groupOf, { onHover, onPick, onView }) {
  const canvas = frame.querySelector("canvas");
  const [pinnedRing, hoverRing] = frame.querySelectorAll(".ring");
  const context = canvas.getContext("2d");
  const visible = groups.map(() => true);
  let view = { ...ALL }, x = [], y = [], width = 0, height = 0, pinned = -1, hovered = -1, sprites = [];

  const screenX = (i) => ((x[i] / (NOWHERE - 1) - view.left) / view.size) * width;
  const screenY = (i) => ((1 - y[i] / (NOWHERE - 1) - view.top) / view.size) * height;
  const isShown = (i) => x[i] !== NOWHERE && visible[groupOf(i)];
  function isInView(i) {
    if (!isShown(i)) return false;
    const left = screenX(i), top = screenY(i);
    return left >= 0 && left <= width && top >= 0 && top <= height;
  }

  // A drawing of each group's marker, because to copy pixels is faster than to fill outlines.
  function drawSprites(radius) {
    const ratio = window.devicePixelRatio;
    sprites = groups.map(({ colour, marker }) => {
      const sprite = document.createElement("canvas");
      sprite.width = sprite.height = Math.ceil((2 * radius + 2) * ratio);
      const pen = sprite.getContext("2d");
      pen.scale(ratio, ratio);
      pen.translate(radius + 1, radius + 1);
      const [corners, angle, inner] = OUTLINES[marker];
      const steps = inner ? 2 * corners : corners;
      for (let step = 0; step < steps; step++) {
        const turn = ((angle + (360 * step) / steps) * Math.PI) / 180;
        const far = inner && step % 2 ? inner * radius : radius;
        pen.lineTo(far * Math.cos(turn), far * Math.sin(turn));
      }
      pen.closePath();
      pen.globalAlpha = 0.85;
      pen.fillStyle = colour;
      pen.fill();
      pen.lineWidth = 0.5;
      pen.strokeStyle = getComputedStyle(canvas).color;
      pen.stroke();
      return sprite;
    });
  }

  function draw() {
    const ratio = window.devicePixelRatio;
    width = canvas.clientWidth;
    height = canvas.clientHeight;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    context.scale(ratio, ratio);
    const radius = x.length > 2000 ? 3 : 5;
    drawSprites(radius);
    const half = radius + 1;
    // The last groups have no colour of their own, and must not cover the others.
    for (let group = groups.length - 1; group >= 0; group--) {
      for (let i = 0; i < x.length; i++) {
        if (groupOf(i) !== group || !isInView(i)) continue;
        context.drawImage(sprites[group], screenX(i) - half, screenY(i) - half, 2 * half, 2 * half);
      }
    }
    placeRings();
    onView();
  }

  let isDue = false;
  function redraw() {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      draw();
    });
  }

  function placeRings() {
    for (const [ring, i] of [[pinnedRing, pinned], [hoverRing, hovered]]) {
      ring.hidden = i < 0 || !isInView(i);
      if (ring.hidden) continue;
      ring.style.left = `${screenX(i)}px`;
      ring.style.top = `${screenY(i)}px`;
    }
  }

  // Return the shown point with the least distance below `limit`, or -1.
  function nearest(distance, limit) {
    let best = -1, least = limit;
    for (let i = 0; i < x.length; i++) {
      if (!isInView(i)) continue;
      const found = distance(screenX(i), screenY(i), i);
      if (found < least) [best, least] = [i, found];
    }
    return best;
  }
  const pointAt = (left, top) =>
    nearest((px, py) => (px - left) ** 2 + (py - top) ** 2, 12 ** 2);

  function hover(i) {
    if (i === hovered) return;
    hovered = i;
    placeRings();
    onHover(i, i < 0 ? 0 : screenX(i), i < 0 ? 0 : screenY(i));
  }

  // Zoom so that the point at these shares of the width and height stays where it is.
  function zoom(factor, atX = 0.5, atY = 0.5) {
    const size = Math.min(Math.max(view.size / factor, 0.002), ALL.size);
    const left = view.left + atX * (view.size - size), top = view.top + atY * (view.size - size);
    moveTo(left, top, size);
  }
  function moveTo(left, top, size) {
    const clamp = (value) => Math.min(Math.max(value, ALL.left), ALL.left + ALL.size - size);
    view = { left: clamp(left), top: clamp(top), size };
    hover(-1);
    redraw();
  }
  // Return the point from which the arrows go, or -1.
  function current() {
    if (hovered >= 0) return hovered;
    return pinned >= 0 && isInView(pinned) ? pinned : -1;
  }
  // Zoom so that the current point stays where it is.
  function zoomCurrent(factor) {
    const i = current();
    if (i < 0) return zoom(factor);
    zoom(factor, screenX(i) / width, screenY(i) / height);
    hover(i);
  }
  function showAll() {
    moveTo(ALL.left, ALL.top, ALL.size);
  }

  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    drag = { left: event.offsetX, top: event.offsetY, view, hasMoved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return hover(pointAt(event.offsetX, event.offsetY));
    const right = event.offsetX - drag.left, down = event.offsetY - drag.top;
    if (!drag.hasMoved && Math.hypot(right, down) < 5) return;
    drag.hasMoved = true;
    const { left, top, size } = drag.view;
    moveTo(left - (right / width) * size, top - (down / height) * size, size);
  });
  canvas.addEventListener("pointerup", (event) => {
    const i = drag && !drag.hasMoved ? pointAt(event.offsetX, event.offsetY) : -1;
    drag = null;
    if (i >= 0) onPick(i);
  });
  canvas.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("pointerleave", () => hover(-1));
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 300), event.offsetX / width, event.offsetY / height);
  }, { passive: false });
  const directions = {
    ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
  };
  canvas.addEventListener("keydown", (event) => {
    const direction = directions[event.key];
    if (direction) {
      const start = current();
      const fromX = start < 0 ? width / 2 : screenX(start);
      const fromY = start < 0 ? height / 2 : screenY(start);
      const next = nearest((px, py, i) => {
        const ahead = (px - fromX) * direction[0] + (py - fromY) * direction[1];
        const aside = Math.abs((px - fromX) * direction[1] + (py - fromY) * direction[0]);
        if (start < 0) return ahead ** 2 + aside ** 2;
        return i === start || ahead <= 0 ? Infinity : ahead + 2 * aside;
      }, Infinity);
      if (next >= 0) hover(next);
    } else if (event.key === "Enter" && hovered >= 0) onPick(hovered);
    else if (event.key === "+" || event.key === "=") zoomCurrent(1.5);
    else if (event.key === "-") zoomCurrent(1 / 1.5);
    else if (event.key === "0") showAll();
    else return;
    event.preventDefault();
  });
  new ResizeObserver(redraw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  return {
    setPoints(newX, newY) {
      [x, y] = [newX, newY];
      showAll();
    },
    setVisible(group, isVisible) {
      visible[group] = isVisible;
      hover(-1);
      redraw();
    },
    pin(i) {
      pinned = i;
      if (isShown(i) && !isInView(i)) showAll();
      placeRings();
    },
    pointsInView() {
      const found = [];
      for (let i = 0; i < x.length; i++) if (isInView(i)) found.push(i);
      return found;
    },
    zoom: zoomCurrent,
    showAll,
  };
}
