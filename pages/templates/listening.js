"use strict";
// Only one recording plays at a time.
document.addEventListener("play", (event) => {
  for (const audio of document.querySelectorAll("audio")) {
    if (audio !== event.target) audio.pause();
  }
}, true);

// Return a button that plays a recording. `addresses` are tried in order.
function songmillPlayer(name, addresses, startSeconds = 0) {
  const player = document.createElement("span");
  player.className = "player";
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-label", `Play ${name}`);
  button.addEventListener("click", () => {
    const audio = document.createElement("audio");
    audio.controls = true;
    audio.preload = "none";
    audio.setAttribute("aria-label", name);
    const rest = [...addresses];
    const playNext = () => {
      const address = rest.shift();
      // An excerpt has a relative address, and begins elsewhere than the recording.
      const isWhole = address.startsWith("file:");
      audio.src = isWhole && startSeconds ? `${address}#t=${startSeconds}` : address;
      // If it cannot be played, there is an error event, too.
      audio.play().catch(() => {});
    };
    audio.addEventListener("error", () => {
      if (rest.length) return playNext();
      const failure = document.createElement("span");
      failure.className = "failure";
      failure.setAttribute("role", "alert");
      failure.textContent = "This browser cannot reach the file or cannot play its format.";
      const hadFocus = player.contains(document.activeElement);
      player.replaceChildren(button, failure);
      if (hadFocus) button.focus();
    });
    player.replaceChildren(audio);
    audio.focus({ preventScroll: true });
    playNext();
  });
  player.append(button);
  return player;
}

for (const place of document.querySelectorAll(".player[data-addresses]")) {
  const { name, addresses, start } = place.dataset;
  place.replaceWith(songmillPlayer(name, addresses.split(" "), Number(start)));
}
