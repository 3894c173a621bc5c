// Turns all surfaces of a page as one: what one frame tells of its camera, the others hear.
const frames = [...document.querySelectorAll("iframe[data-turning]")];
addEventListener("message", ({ source, data }) => {
  if (!data || data.lossatlas !== "camera") return;
  if (!frames.some((frame) => frame.contentWindow === source)) return;
  for (const frame of frames) {
    if (frame.contentWindow !== source) frame.contentWindow.postMessage(data, "*");
  }
});
