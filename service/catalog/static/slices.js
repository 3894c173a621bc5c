// Slices under the pointer: a small map of the plane, from which a row and a column are drawn
// into the two charts that the page already has. Arrow keys walk from cell to cell.
const box = document.querySelector("[data-slices]");
const number = (v) => {
  if (v === null || v === undefined) return "no value";
  const text = v !== 0 && (Math.abs(v) < 1e-3 || Math.abs(v) >= 1e6) ? v.toExponential(3) : String(Number(v.toPrecision(4)));
  return text.replaceAll("-", "−");
};
// viridis in nine steps
const STOPS = [[68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137], [53, 183, 121], [110, 206, 88], [181, 222, 43], [253, 231, 37]];
const colour = (share) => {
  const at = Math.min(1, Math.max(0, share)) * (STOPS.length - 1);
  const k = Math.min(STOPS.length - 2, Math.floor(at));
  return STOPS[k].map((c, i) => Math.round(c + (STOPS[k + 1][i] - c) * (at - k)));
};

class Plate {
  constructor(svg) {
    this.line = svg.querySelector(".line");
    this.here = svg.querySelector(".here");
    this.x = JSON.parse(svg.dataset.x);
    this.y = JSON.parse(svg.dataset.y);
  }
  at(scale, value) {
    const f = scale.log ? (v) => Math.log10(Math.max(v, scale.low)) : (v) => v;
    const share = scale.high === scale.low ? 0.5 : (f(value) - f(scale.low)) / (f(scale.high) - f(scale.low));
    return scale.start + Math.min(1, Math.max(0, share)) * (scale.end - scale.start);
  }
  draw(axis, values, place) {
    let path = "", down = false;
    axis.forEach((a, i) => {
      if (values[i] === null) { down = false; return; }
      path += `${down ? "L" : "M"}${this.at(this.x, a).toFixed(2)} ${this.at(this.y, values[i]).toFixed(2)}`;
      down = true;
    });
    this.line.setAttribute("d", path);
    const x = this.at(this.x, place).toFixed(2);
    this.here.setAttribute("x1", x);
    this.here.setAttribute("x2", x);
  }
}

async function start() {
  const answer = await fetch(box.dataset.slices);
  if (!answer.ok) return;
  const data = await answer.json();
  const values = data.datasets[box.dataset.name].loss.values;
  const plates = [...box.querySelectorAll("svg.chart")].map((svg) => new Plate(svg));
  const map = document.createElement("canvas");
  const say = box.querySelector(".readout");
  const [nx, ny] = [data.x.length, data.y.length];
  map.className = "map";
  map.tabIndex = 0;
  map.width = nx;
  map.height = ny;
  map.setAttribute("role", "application");
  map.setAttribute("aria-label", "Map of the plane. Arrow keys move the slices from cell to cell.");
  let ix = nearest(data.x, 0), iy = nearest(data.y, 0);
  const y = plates[0].y;
  const image = new ImageData(nx, ny);
  for (let r = 0; r < ny; r++) {
    for (let c = 0; c < nx; c++) {
      const value = values[ny - 1 - r][c], k = 4 * (r * nx + c);
      const f = y.log ? (v) => Math.log10(Math.max(v, y.low)) : (v) => v;
      const rgb = value === null ? [150, 150, 150] : colour((f(value) - f(y.low)) / (f(y.high) - f(y.low)));
      image.data.set([...rgb, 255], k);
    }
  }
  function draw() {
    const pen = map.getContext("2d");
    pen.putImageData(image, 0, 0);
    pen.fillStyle = "rgba(255,255,255,.55)";
    pen.fillRect(0, ny - 1 - iy, nx, 1);
    pen.fillRect(ix, 0, 1, ny);
    plates[0].draw(data.x, values[iy], data.x[ix]);
    plates[1].draw(data.y, values.map((row) => row[ix]), data.y[iy]);
    say.textContent = `${box.dataset.first} ${number(data.x[ix])}, ${box.dataset.second} ${number(data.y[iy])}: loss ${number(values[iy][ix])}`;
  }
  function nearest(axis, value) {
    return axis.reduce((best, a, i) => (Math.abs(a - value) < Math.abs(axis[best] - value) ? i : best), 0);
  }
  function point(event) {
    const frame = map.getBoundingClientRect();
    ix = Math.min(nx - 1, Math.max(0, Math.floor(((event.clientX - frame.left) / frame.width) * nx)));
    iy = Math.min(ny - 1, Math.max(0, ny - 1 - Math.floor(((event.clientY - frame.top) / frame.height) * ny)));
    draw();
  }
  map.addEventListener("pointermove", point);
  map.addEventListener("pointerdown", point);
  map.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!step) return;
    event.preventDefault();
    ix = Math.min(nx - 1, Math.max(0, ix + step[0]));
    iy = Math.min(ny - 1, Math.max(0, iy + step[1]));
    draw();
  });
  box.querySelector("[data-map]").replaceChildren(map);
  draw();
}
if (box) start();
