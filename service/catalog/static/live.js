// Follows a job, or a list of jobs, by held requests. The page is of use without it: it then
// loads itself again.
const page = document.querySelector("[data-job]");
const list = document.querySelector("[data-live]");
const planned = ["tile", "finalise"];
const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

async function replaced(selectors) {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) { location.reload(); return; }
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const selector of selectors) {
    const [now, then] = [document.querySelector(selector), fresh.querySelector(selector)];
    if (now && then && now.innerHTML !== then.innerHTML) now.replaceChildren(...then.childNodes);
  }
  return fresh;
}

// The picture is drawn from the very answer: an image of the same address would be the old one.
async function refreshed(figure) {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const answer = await fetch(`${figure.dataset.picture}?theme=${dark}&width=1600`, { cache: "no-cache" });
  const tag = answer.headers.get("ETag");
  if (!answer.ok || tag === figure.dataset.tag) return;
  const bitmap = await createImageBitmap(await answer.blob());
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", figure.dataset.words);
  figure.dataset.tag = tag;
  figure.querySelector("[data-slot]").replaceChildren(canvas);
}

async function follow(id) {
  for (;;) {
    let job;
    try {
      const answer = await fetch(`/v1/jobs/${id}`);
      if (answer.status === 401 || answer.status === 404) { location.reload(); return; }
      job = await answer.json();
      if (!answer.ok) throw new Error(job.detail);
    } catch {
      await pause(5);
      continue;
    }
    if (job.state === "succeeded" || job.state === "failed" || job.state === "cancelled") {
      location.reload();
      return;
    }
    await replaced(["#progress", "#events"]);
    const figure = document.querySelector("[data-picture]");
    if (figure && planned.includes(job.progress.phase)) await refreshed(figure).catch(() => {});
    await pause(document.hidden ? 10 : 1.5);
  }
}

async function watch() {
  while (document.querySelector("[data-live]").dataset.live === "yes") {
    await pause(document.hidden ? 15 : 3);
    const fresh = await replaced(["[data-live]"]).catch(() => null);
    const then = fresh && fresh.querySelector("[data-live]");
    if (then) list.dataset.live = then.dataset.live;
  }
}

if (page && page.dataset.job) follow(page.dataset.job);
if (list) watch();
