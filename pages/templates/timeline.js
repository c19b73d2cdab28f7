"use strict";
// Move a line over the pictures with a time axis while the page's recording plays. A click on a
// picture seeks; the controls of the recording do the same by keyboard.
function followRecording(player) {
  const reducesMotion = matchMedia("(prefers-reduced-motion: reduce)");
  const timelines = [...document.querySelectorAll("figure[data-seconds]")].map((figure) => {
    const picture = figure.querySelector("picture");
    const frame = document.createElement("div");
    frame.className = "timeline";
    const line = document.createElement("div");
    line.className = "cursor";
    line.hidden = true;
    picture.replaceWith(frame);
    frame.append(picture, line);
    const seconds = Number(figure.dataset.seconds);
    frame.addEventListener("click", (event) => {
      const { left, width } = axesOf(picture);
      const box = frame.getBoundingClientRect();
      const share = ((event.clientX - box.left) / box.width - left) / width;
      player.querySelector("button")?.click();
      player.querySelector("audio").currentTime = Math.min(Math.max(share, 0), 1) * seconds;
    });
    return { picture, line, seconds };
  });

  const hint = document.createElement("span");
  hint.className = "subtext";
  hint.textContent = "A click on a picture goes to that moment.";
  player.append(hint);

  const moveLines = () => {
    const audio = player.querySelector("audio");
    const time = reducesMotion.matches ? Math.floor(audio.currentTime) : audio.currentTime;
    for (const { picture, line, seconds } of timelines) {
      const { left, top, width, height } = axesOf(picture);
      line.hidden = false;
      line.style.left = `${100 * (left + width * Math.min(time / seconds, 1))}%`;
      line.style.top = `${100 * top}%`;
      line.style.height = `${100 * height}%`;
    }
    return audio;
  };
  const keepMoving = () => {
    if (!moveLines().paused && !reducesMotion.matches) requestAnimationFrame(keepMoving);
  };
  // Events of media do not bubble, but they are captured.
  player.addEventListener("playing", keepMoving, true);
  player.addEventListener("timeupdate", moveLines, true);
}

// Return the position of the axes in the picture that fits the screen, in shares of its size.
function axesOf(picture) {
  const shown = [...picture.children].find((one) => !one.media || matchMedia(one.media).matches);
  const [left, top, width, height] = shown.dataset.axes.split(" ").map(Number);
  return { left, top, width, height };
}

const recordingOfPage = document.querySelector(".follow");
if (recordingOfPage) followRecording(recordingOfPage);
