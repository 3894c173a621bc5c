/* Shows the values of this page: a surface in WebGL 2, or curves on a canvas.
 *
 * Owns drawing and input. Asks no other host for anything; everything comes from #values.
 */
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const values = JSON.parse($("values").textContent);
  const isPlane = values.y !== null;
  const still = $("still"), live = $("live"), stage = $("stage"), readout = $("readout");
  const floor = $("floor"), ink = $("ink"), bar = $("bar");
  const NX = values.x.length, NY = isPlane ? values.y.length : 1;

  // viridis at 17 even steps
  const RAMP = ["440154", "481a6c", "472f7d", "414487", "39568c", "31688e", "2a788e", "23888e",
    "1f988b", "22a884", "35b779", "54c568", "7ad151", "a5db36", "d2e21b", "eae51a", "fde725"]
    .map((hex) => [0, 2, 4].map((k) => parseInt(hex.slice(k, k + 2), 16) / 255));
  const color = (t) => {
    const at = Math.min(1, Math.max(0, t)) * (RAMP.length - 1);
    const k = Math.min(RAMP.length - 2, Math.floor(at)), part = at - k;
    return RAMP[k].map((c, i) => c + (RAMP[k + 1][i] - c) * part);
  };
  const css = (rgb) => `rgb(${rgb.map((c) => Math.round(255 * c)).join(",")})`;
  const theme = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const rgbOf = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16) / 255);

  const state = { dataset: 0, metric: "loss", log: false, cut: 1, path: true,
    azimuth: -0.9, elevation: 0.76, zoom: 1, probe: null };

  // ---------------------------------------------------------------- numbers
  const SUPER = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷",
    8: "⁸", 9: "⁹" };
  const number = (v, digits = 4) => {
    if (v === null || Number.isNaN(v)) return "none";
    if (v === 0) return "0";
    const [mantissa, power] = v.toExponential(digits - 1).split("e");
    const exponent = Number(power);
    const trim = (s) => (s.includes(".") ? s.replace(/\.?0+$/, "") : s).replace("-", "−");
    if (exponent > -4 && exponent < 5) return trim(v.toFixed(Math.max(0, digits - 1 - exponent)));
    const tens = "10" + [...String(exponent)].map((c) => SUPER[c]).join("");
    const lead = trim(mantissa);
    return lead === "1" ? tens : `${lead}×${tens}`;
  };
  const shown = (metric, v, digits = 4) =>
    metric === "accuracy" && v !== null ? `${number(100 * v, digits)}%` : number(v, digits);
  const ticks = (low, high, count) => {
    if (!(high > low)) return [low];
    const raw = (high - low) / Math.max(1, count), ten = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map((k) => k * ten).find((s) => s >= raw * 0.999) || 10 * ten;
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++)
      found.push(Number((k * step).toPrecision(12)));
    return found;
  };
  /** Heights and words of readable values between two heights. */
  const marks = (scale, count) => {
    const text = (v) => shown(state.metric, v, 3);
    if (!scale.log) return ticks(scale.low, scale.high, count).map((h) => [h, text(h)]);
    const decades = [];
    for (let p = Math.ceil(scale.low - 1e-9); p <= scale.high + 1e-9; p++) decades.push(p);
    if (decades.length >= 3) {
      const every = Math.ceil(decades.length / Math.max(2, count));
      return decades.filter((_, k) => k % every === 0).map((p) => [p, text(10 ** p)]);
    }
    const some = [];
    for (let p = Math.floor(scale.low); p <= scale.high; p++)
      for (const m of [1, 2, 5])
        if (Math.log10(m) + p >= scale.low - 1e-9 && Math.log10(m) + p <= scale.high + 1e-9)
          some.push([Math.log10(m) + p, text(m * 10 ** p)]);
    return some.length > 1 ? some
      : ticks(10 ** scale.low, 10 ** scale.high, count).map((v) => [Math.log10(v), text(v)]);
  };

  // ---------------------------------------------------------------- scale
  const metricOf = (k) => values.datasets[k].metrics[state.metric] || null;
  const heightOf = (v) => v === null || v === undefined || (state.log && v <= 0) ? NaN
    : state.log ? Math.log10(v) : v;
  const bounds = (arrays) => {
    let low = Infinity, high = -Infinity;
    for (const array of arrays) for (const v of array) {
      const h = heightOf(v);
      if (h < low) low = h;
      if (h > high) high = h;
    }
    return [low, high];
  };
  const positive = () => values.datasets.some((d) => (d.metrics[state.metric] || [])
    .some((v) => v !== null && v > 0));
  const wide = () => {
    const before = state.log;
    state.log = false;
    const [low, high] = bounds(values.datasets.map((_, k) => metricOf(k) || []));
    state.log = before;
    return low > 0 && high > 100 * low;
  };
  const scaleOf = (arrays) => {
    let [low, high] = bounds(arrays);
    if (!(high >= low)) [low, high] = [0, 1];
    const flat = high === low;
    if (flat) [low, high] = [low - 0.5, high + 0.5];
    return { low, high, log: state.log, flat };
  };

  // ---------------------------------------------------------------- canvas
  const fit = (canvas) => {
    const ratio = Math.min(3, window.devicePixelRatio || 1);
    const width = canvas.clientWidth, height = canvas.clientHeight;
    const w = Math.round(width * ratio), h = Math.round(height * ratio);
    if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
    return { width, height, ratio };
  };
  const pen = (canvas) => {
    const { width, height, ratio } = fit(canvas);
    const g = canvas.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    g.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    return { g, width, height };
  };
  const haloed = (g, text, x, y, fill) => {
    g.lineWidth = 3; g.lineJoin = "round";
    g.strokeStyle = theme("halo"); g.strokeText(text, x, y);
    g.fillStyle = fill; g.fillText(text, x, y);
  };
  let waiting = false, draw = () => {};
  const redraw = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  };
  const wordOf = (k, cell) => values.words[values.datasets[k].status[cell]];
  const STATUS = { ok: "undefined", pending: "pending", posinf: "+∞", neginf: "−∞", nan: "NaN",
    invalid_buffer: "invalid running variance", failed: "failed" };
  const named = (metric, k, cell) => {
    const v = values.datasets[k].metrics[metric];
    if (!v) return "";
    const text = v[cell] === null ? STATUS[wordOf(k, cell)] : shown(metric, v[cell], 5);
    return `${metric.replace(/_/g, " ")} ${text}`;
  };
  const told = (k, cell) => {
    const words = [...new Set(["loss", "accuracy", state.metric])];
    return words.map((m) => named(m, k, cell)).filter(Boolean).join(" · ");
  };

  // ---------------------------------------------------------------- plane
  const VERTEX = `#version 300 es
    in vec3 place; in vec3 normal; uniform mat4 camera; out vec3 n; out float h;
    void main() { gl_Position = camera * vec4(place, 1.0); n = normal; h = place.z; }`;
  const SHADE = `#version 300 es
    precision highp float; in vec3 n; in float h; out vec4 color;
    uniform vec3 ramp[17]; uniform float tall, lines, span; uniform vec3 light;
    void main() {
      float t = clamp(h / tall, 0.0, 1.0);
      float at = clamp(t * span, 0.0, 1.0) * 16.0;
      int k = int(min(15.0, floor(at)));
      vec3 base = mix(ramp[k], ramp[k + 1], at - float(k));
      vec3 up = normalize(gl_FrontFacing ? n : -n);
      float lit = 0.62 + 0.38 * max(0.0, dot(normalize(n), light));
      float f = t * lines, wide = max(fwidth(f), 1e-5);
      float edge = abs(fract(f - 0.5) - 0.5) / wide;
      float line = (1.0 - smoothstep(0.3, 1.1, edge)) * (1.0 - smoothstep(0.25, 0.5, wide));
      line *= step(0.5, f) * step(f, lines - 0.02);
      color = vec4(mix(base * lit, vec3(0.0), 0.38 * line) * (0.97 + 0.03 * up.z), 1.0);
    }`;
  const RIBBON_VERTEX = `#version 300 es
    in vec3 here; in vec3 there; in vec2 corner; uniform mat4 camera; uniform vec2 view;
    uniform float thick; uniform float bias;
    void main() {
      vec4 a = camera * vec4(here, 1.0), b = camera * vec4(there, 1.0);
      vec2 along = (b.xy / b.w - a.xy / a.w) * view;
      float size = length(along);
      along = size > 1e-6 ? along / size : vec2(1.0, 0.0);
      vec4 at = corner.x < 0.5 ? a : b;
      vec2 off = vec2(-along.y, along.x) * corner.y + along * (corner.x * 2.0 - 1.0) * 0.4;
      at.xy += off * thick / view * at.w; at.z -= bias * at.w;
      gl_Position = at;
    }`;
  const FLAT = `#version 300 es
    precision highp float; uniform vec4 paint; out vec4 color; void main() { color = paint; }`;

  const startPlane = () => {
    const surface = $("surface");
    const gl = surface.getContext("webgl2", { alpha: true, antialias: true,
      premultipliedAlpha: true, preserveDrawingBuffer: true });
    if (!gl) return false;
    const program = (vertex, fragment) => {
      const made = gl.createProgram();
      for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
        const shader = gl.createShader(kind);
        gl.shaderSource(shader, text); gl.compileShader(shader);
        if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS))
          throw new Error(gl.getShaderInfoLog(shader) || "shader");
        gl.attachShader(made, shader);
      }
      gl.linkProgram(made);
      if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made));
      const uniform = {}, attribute = {};
      for (let k = 0; k < gl.getProgramParameter(made, gl.ACTIVE_UNIFORMS); k++) {
        const name = gl.getActiveUniform(made, k).name;
        uniform[name.replace("[0]", "")] = gl.getUniformLocation(made, name);
      }
      for (let k = 0; k < gl.getProgramParameter(made, gl.ACTIVE_ATTRIBUTES); k++) {
        const name = gl.getActiveAttrib(made, k).name;
        attribute[name] = gl.getAttribLocation(made, name);
      }
      return { made, uniform, attribute };
    };
    let hill, ribbon, buffers;
    const setUp = () => {
      hill = program(VERTEX, SHADE);
      ribbon = program(RIBBON_VERTEX, FLAT);
      buffers = { place: gl.createBuffer(), normal: gl.createBuffer(), index: gl.createBuffer(),
        ribbon: gl.createBuffer() };
    };
    setUp();

    // the box: the longer side is 2, the other true to scale unless far from square
    const x0 = values.x[0], x1 = values.x[NX - 1], y0 = values.y[0], y1 = values.y[NY - 1];
    const ratio = Math.min(2.5, Math.max(0.4, (y1 - y0) / (x1 - x0) || 1));
    const BX = ratio > 1 ? 1 / ratio : 1, BY = ratio > 1 ? 1 : ratio, TALL = 1.05;
    const placeX = (v) => x1 > x0 ? BX * (2 * (v - x0) / (x1 - x0) - 1) : 0;
    const placeY = (v) => y1 > y0 ? BY * (2 * (v - y0) / (y1 - y0) - 1) : 0;
    const PX = values.x.map(placeX), PY = values.y.map(placeY);
    let scale, top, heights, triangles = 0, camera, path = [], steps = [], voids = [];

    const rise = (h) => TALL * (Math.min(h, top) - scale.low) / ((top - scale.low) || 1);
    const build = () => {
      const array = metricOf(state.dataset) || [];
      scale = scaleOf([array]);
      top = scale.low + (scale.high - scale.low) * state.cut;
      heights = new Float32Array(NX * NY);
      for (let k = 0; k < NX * NY; k++) heights[k] = rise(heightOf(array[k]));
      if (scale.flat) heights = heights.map((h) => Number.isNaN(h) ? h : TALL / 2);
      const place = new Float32Array(3 * NX * NY), normal = new Float32Array(3 * NX * NY);
      const at = (i, j) => heights[Math.min(NY - 1, Math.max(0, j)) * NX
        + Math.min(NX - 1, Math.max(0, i))];
      const slope = (before, here, after, a, b, c) => {
        const left = Number.isNaN(before) ? [here, b] : [before, a];
        const right = Number.isNaN(after) ? [here, b] : [after, c];
        return right[1] > left[1] ? (right[0] - left[0]) / (right[1] - left[1]) : 0;
      };
      const near = (list, k) => list[Math.min(list.length - 1, Math.max(0, k))];
      voids = [];
      for (let j = 0; j < NY; j++) for (let i = 0; i < NX; i++) {
        const k = j * NX + i, h = heights[k];
        if (Number.isNaN(h)) voids.push(k);
        place.set([PX[i], PY[j], Number.isNaN(h) ? 0 : h], 3 * k);
        const dx = slope(at(i - 1, j), h, at(i + 1, j), near(PX, i - 1), PX[i], near(PX, i + 1));
        const dy = slope(at(i, j - 1), h, at(i, j + 1), near(PY, j - 1), PY[j], near(PY, j + 1));
        const size = Math.hypot(dx, dy, 1) || 1;
        normal.set(Number.isNaN(size) ? [0, 0, 1] : [-dx / size, -dy / size, 1 / size], 3 * k);
      }
      const index = [];
      for (let j = 0; j + 1 < NY; j++) for (let i = 0; i + 1 < NX; i++) {
        const a = j * NX + i, corners = [a, a + 1, a + NX + 1, a + NX]
          .filter((k) => !Number.isNaN(heights[k]));
        if (corners.length >= 3) index.push(corners[0], corners[1], corners[2]);
        if (corners.length === 4) index.push(corners[0], corners[2], corners[3]);
      }
      triangles = index.length;
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers.place);
      gl.bufferData(gl.ARRAY_BUFFER, place, gl.STATIC_DRAW);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers.normal);
      gl.bufferData(gl.ARRAY_BUFFER, normal, gl.STATIC_DRAW);
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.index);
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, new Uint32Array(index), gl.STATIC_DRAW);
      layPath();
    };

    /** The surface's height at a place of the box; NaN outside or where there is no value. */
    const heightAt = (px, py) => {
      const find = (list, v) => {
        if (list.length < 2 || v < list[0] - 1e-9 || v > list[list.length - 1] + 1e-9) return null;
        let low = 0, high = list.length - 1;
        while (high - low > 1) {
          const middle = (low + high) >> 1;
          if (list[middle] <= v) low = middle; else high = middle;
        }
        return [low, (v - list[low]) / (list[high] - list[low])];
      };
      const a = find(PX, px), b = find(PY, py);
      if (!a || !b) return NaN;
      const k = b[0] * NX + a[0];
      const south = heights[k] * (1 - a[1]) + heights[k + 1] * a[1];
      const north = heights[k + NX] * (1 - a[1]) + heights[k + NX + 1] * a[1];
      return south * (1 - b[1]) + north * b[1];
    };

    const layPath = () => {
      const lift = 0.006, known = state.metric === "loss" && state.dataset === 0;
      steps = values.trajectory.map((s) => {
        const px = placeX(s.x), py = placeY(s.y), own = heightOf(s.loss);
        let h = known && !Number.isNaN(own) ? rise(own) : heightAt(px, py);
        const under = heightAt(px, py);
        if (!Number.isNaN(under)) h = Number.isNaN(h) ? under : Math.max(h, under);
        return { ...s, place: Number.isNaN(h) ? null : [px, py, h + lift] };
      });
      path = [];
      for (let k = 1; k < steps.length; k++) {
        const a = steps[k - 1], b = steps[k];
        if (a.run !== b.run || !a.place || !b.place) continue;
        let last = a.place;
        for (let m = 1; m <= 24; m++) {
          const t = m / 24, px = a.place[0] + (b.place[0] - a.place[0]) * t;
          const py = a.place[1] + (b.place[1] - a.place[1]) * t, h = heightAt(px, py);
          const straight = a.place[2] + (b.place[2] - a.place[2]) * t;
          const next = m === 24 ? b.place : [px, py, Number.isNaN(h) ? straight : h + lift];
          path.push([last, next]);
          last = next;
        }
      }
      const data = [];
      for (const [a, b] of path)
        for (const [end, side] of [[0, -1], [0, 1], [1, 1], [0, -1], [1, 1], [1, -1]])
          data.push(...a, ...b, end, side);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers.ribbon);
      gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(data), gl.STATIC_DRAW);
    };

    // ------------------------------------------------------------ camera
    const multiply = (a, b) => {
      const out = new Array(16).fill(0);
      for (let c = 0; c < 4; c++) for (let r = 0; r < 4; r++)
        for (let k = 0; k < 4; k++) out[4 * c + r] += a[4 * k + r] * b[4 * c + k];
      return out;
    };
    const aim = (width, height) => {
      const { azimuth, elevation } = state;
      const wide = width / height, fov = 0.62;
      const reach = wide < 1.25 ? 4.85 * 1.25 / wide : 4.85;
      const distance = reach / state.zoom;
      // seen steeply the surface sinks to a map, or it would stand out over its own axes
      const sunk = Math.min(1, Math.max(0, (elevation - 1.0) / 0.45));
      const rises = 1 - sunk * sunk * (3 - 2 * sunk);
      const middle = [0, 0, 0.3 * TALL * rises];
      const back = [Math.cos(elevation) * Math.sin(azimuth), -Math.cos(elevation)
        * Math.cos(azimuth), Math.sin(elevation)];
      const right = [Math.cos(azimuth), Math.sin(azimuth), 0];
      const up = [back[1] * right[2] - back[2] * right[1], back[2] * right[0] - back[0] * right[2],
        back[0] * right[1] - back[1] * right[0]];
      const eye = middle.map((m, k) => m + distance * back[k]);
      const dot = (u, v) => u[0] * v[0] + u[1] * v[1] + u[2] * v[2];
      const look = [right[0], up[0], back[0], 0, right[1], up[1], back[1], 0,
        right[2], up[2], back[2], 0, -dot(right, eye), -dot(up, eye), -dot(back, eye), 1];
      const f = 1 / Math.tan(fov / 2), near = 0.05, far = distance + 6;
      const lens = [f / wide, 0, 0, 0, 0, f, 0, 0, 0, 0, (far + near) / (near - far), -1,
        0, 0, 2 * far * near / (near - far), 0];
      const matrix = multiply(lens, look);
      for (let k = 8; k < 12; k++) matrix[k] *= rises;
      return { matrix, eye, right, up, back, f, wide, width, height, rises };
    };
    const project = ([x, y, z]) => {
      const m = camera.matrix, w = m[3] * x + m[7] * y + m[11] * z + m[15];
      return [(1 + (m[0] * x + m[4] * y + m[8] * z + m[12]) / w) / 2 * camera.width,
        (1 - (m[1] * x + m[5] * y + m[9] * z + m[13]) / w) / 2 * camera.height, w];
    };
    /** The cell under a pixel: of the surface, or of the floor where that has a hole. */
    const pick = (px, py) => {
      const u = (2 * px / camera.width - 1) * camera.wide / camera.f;
      const v = (1 - 2 * py / camera.height) / camera.f;
      const way = [0, 1, 2].map((k) => u * camera.right[k] + v * camera.up[k] - camera.back[k]);
      const at = (t) => [0, 1, 2].map((k) => camera.eye[k] + t * way[k]);
      const reach = Math.hypot(...camera.eye) + 3, parts = 900;
      let before = null;
      for (let k = 1; k <= parts; k++) {
        const p = at(reach * k / parts), gap = p[2] - camera.rises * heightAt(p[0], p[1]);
        if (before !== null && !Number.isNaN(before) && !Number.isNaN(gap)
          && (before > 0) !== (gap > 0)) {
          const exact = at(reach * (k - 1 + Math.abs(before) / (Math.abs(before) + Math.abs(gap)))
            / parts);
          return nearest(exact[0], exact[1]);
        }
        before = gap;
      }
      if (way[2] < 0) {
        const p = at(-camera.eye[2] / way[2]);
        if (Math.abs(p[0]) <= BX + 0.02 && Math.abs(p[1]) <= BY + 0.02) {
          const cell = nearest(p[0], p[1]);
          if (Number.isNaN(heights[cell])) return cell;
        }
      }
      return null;
    };
    const nearest = (px, py) => {
      const closest = (list, v) => list.reduce((best, at, k) =>
        Math.abs(at - v) < Math.abs(list[best] - v) ? k : best, 0);
      return closest(PY, py) * NX + closest(PX, px);
    };

    // ------------------------------------------------------------ drawing
    const drawFloor = () => {
      const { g } = pen(floor);
      const rule = theme("rule"), muted = theme("muted");
      const line = (a, b, style, width = 1) => {
        const p = project(a), q = project(b);
        g.strokeStyle = style; g.lineWidth = width;
        g.beginPath(); g.moveTo(p[0], p[1]); g.lineTo(q[0], q[1]); g.stroke();
      };
      const few = camera.width < 520 ? 3 : 5;
      const xs = ticks(x0, x1, few), ys = ticks(y0, y1, few);
      const away = { x: Math.sin(state.azimuth) > 0 ? -BX : BX,
        y: Math.cos(state.azimuth) > 0 ? BY : -BY };
      const levels = marks({ ...scale, high: top }, few);
      const flat = camera.rises < 0.5;
      if (!flat) for (const [h] of levels) {
        const z = rise(h);
        line([-BX, away.y, z], [BX, away.y, z], rule);
        line([away.x, -BY, z], [away.x, BY, z], rule);
      }
      for (const v of xs) {
        line([placeX(v), -BY, 0], [placeX(v), BY, 0], rule);
        if (!flat) line([placeX(v), away.y, 0], [placeX(v), away.y, TALL], rule);
      }
      for (const v of ys) {
        line([-BX, placeY(v), 0], [BX, placeY(v), 0], rule);
        if (!flat) line([away.x, placeY(v), 0], [away.x, placeY(v), TALL], rule);
      }
      g.fillStyle = theme("void");
      const half = (list, k) => [k ? (list[k - 1] + list[k]) / 2 : list[k],
        k + 1 < list.length ? (list[k] + list[k + 1]) / 2 : list[k]];
      for (const k of voids) {
        const [a, b] = half(PX, k % NX), [c, d] = half(PY, Math.floor(k / NX));
        g.beginPath();
        for (const corner of [[a, c, 0], [b, c, 0], [b, d, 0], [a, d, 0]]) {
          const p = project(corner);
          g.lineTo(p[0], p[1]);
        }
        g.fill();
      }
      for (const [a, b] of [[[-BX, -BY, 0], [BX, -BY, 0]], [[BX, -BY, 0], [BX, BY, 0]],
        [[BX, BY, 0], [-BX, BY, 0]], [[-BX, BY, 0], [-BX, -BY, 0]]]) line(a, b, muted);
      return { xs, ys, levels, away, flat };
    };

    const drawSurface = () => {
      const { width, height } = fit(surface);
      gl.viewport(0, 0, surface.width, surface.height);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      gl.enable(gl.DEPTH_TEST);
      gl.depthFunc(gl.LEQUAL);
      gl.disable(gl.BLEND);
      gl.useProgram(hill.made);
      gl.uniformMatrix4fv(hill.uniform.camera, false, new Float32Array(camera.matrix));
      gl.uniform3fv(hill.uniform.ramp, new Float32Array(RAMP.flat()));
      gl.uniform1f(hill.uniform.tall, TALL);
      gl.uniform1f(hill.uniform.span, 1);
      gl.uniform1f(hill.uniform.lines, scale.flat ? 1 : 20);
      const light = [camera.right, camera.up, camera.back];
      const lit = [0, 1, 2].map((k) => -0.35 * light[0][k] + 0.55 * light[1][k]
        + 0.6 * light[2][k] + (k === 2 ? 0.5 : 0));
      const size = Math.hypot(...lit);
      gl.uniform3fv(hill.uniform.light, lit.map((v) => v / size));
      for (const name of ["place", "normal"]) {
        if (hill.attribute[name] === undefined) continue;
        gl.bindBuffer(gl.ARRAY_BUFFER, buffers[name]);
        gl.enableVertexAttribArray(hill.attribute[name]);
        gl.vertexAttribPointer(hill.attribute[name], 3, gl.FLOAT, false, 0, 0);
      }
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.index);
      gl.drawElements(gl.TRIANGLES, triangles, gl.UNSIGNED_INT, 0);
      if (state.path && path.length) drawRibbon(width, height);
    };
    const drawRibbon = (width, height) => {
      gl.useProgram(ribbon.made);
      gl.uniformMatrix4fv(ribbon.uniform.camera, false, new Float32Array(camera.matrix));
      gl.uniform2f(ribbon.uniform.view, width / 2, height / 2);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers.ribbon);
      for (const [name, count, offset] of [["here", 3, 0], ["there", 3, 12], ["corner", 2, 24]]) {
        gl.enableVertexAttribArray(ribbon.attribute[name]);
        gl.vertexAttribPointer(ribbon.attribute[name], count, gl.FLOAT, false, 32, offset);
      }
      gl.enable(gl.BLEND);
      gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
      gl.depthMask(false);
      const paint = (hex, alpha, thick, bias) => {
        const rgb = rgbOf(hex);
        gl.uniform4f(ribbon.uniform.paint, ...rgb.map((c) => c * alpha), alpha);
        gl.uniform1f(ribbon.uniform.thick, thick);
        gl.uniform1f(ribbon.uniform.bias, bias);
        gl.drawArrays(gl.TRIANGLES, 0, 6 * path.length);
      };
      paint("#ffffff", 1, 2.4, 0.0008);
      paint(theme("path"), 1, 1.6, 0.001);
      gl.depthFunc(gl.GREATER);
      paint(theme("path"), 0.12, 1.4, 0.001);
      gl.depthMask(true);
      gl.disable(gl.BLEND);
    };

    const hides = (place) => {
      // whether the surface lies before this place: a march towards the eye
      const base = [place[0], place[1], place[2] * camera.rises];
      const way = camera.eye.map((e, k) => e - base[k]);
      for (let k = 1; k <= 80; k++) {
        const t = 0.012 + k / 80 * 0.6, p = base.map((v, i) => v + t * way[i]);
        if (p[2] > TALL * camera.rises) return false;
        const h = camera.rises * heightAt(p[0], p[1]);
        if (!Number.isNaN(h) && p[2] < h - 0.01) return true;
      }
      return false;
    };
    const disc = (g, place, radius, fill, stroke, wide = 1.4) => {
      const p = project(place);
      g.globalAlpha = hides(place) ? 0.25 : 1;
      g.beginPath(); g.arc(p[0], p[1], radius, 0, 2 * Math.PI);
      g.fillStyle = fill; g.fill();
      g.lineWidth = wide; g.strokeStyle = stroke; g.stroke();
      g.globalAlpha = 1;
      return p;
    };
    const drawInk = ({ xs, ys, levels, away, flat }) => {
      const { g, width, height } = pen(ink);
      const muted = theme("muted"), strong = theme("ink");
      g.textBaseline = "middle"; g.textAlign = "center";
      const put = (text, [px, py], fill) => {
        const half = g.measureText(text).width / 2 + 3;
        haloed(g, text, Math.min(width - half, Math.max(half, px)),
          Math.min(height - 8, Math.max(8, py)), fill);
      };
      for (const v of xs) put(number(v, 3), project([placeX(v), -away.y * (1 + 0.14 / BY), 0]), muted);
      for (const v of ys) put(number(v, 3), project([-away.x * (1 + 0.14 / BX), placeY(v), 0]), muted);
      g.font = g.font.replace("12px", "bold 13px");
      put("α", project([0, -away.y * (1 + 0.33 / BY), 0]), strong);
      put("β", project([-away.x * (1 + 0.33 / BX), 0, 0]), strong);
      g.font = g.font.replace("bold 13px", "12px");
      if (!flat) {
        // beside the upright edge that stands furthest out
        const edges = [[away.x, -away.y], [-away.x, away.y]];
        const [a, b] = edges.map((e) => project([...e, 0])[0]);
        const [ex, ey] = a < b ? edges[0] : edges[1];
        g.textAlign = "right";
        let last = Infinity;
        for (const [h, text] of levels) {
          const p = project([ex, ey, rise(h)]);
          if (last - p[1] < 14 || rise(h) < 0.06 * TALL) continue;
          last = p[1];
          haloed(g, text, Math.max(g.measureText(text).width + 2, p[0] - 8), p[1], muted);
        }
        const p = project([ex, ey, TALL]);
        const title = state.metric.replace(/_/g, " ") + (state.log ? ", log" : "");
        g.textAlign = "center";
        put(title, [p[0], p[1] - 16], strong);
      }
      const anchor = values.trajectory.length ? null : values.anchors[0];
      if (anchor) {
        const h = heightAt(placeX(anchor.x), placeY(anchor.y));
        if (!Number.isNaN(h))
          disc(g, [placeX(anchor.x), placeY(anchor.y), h], 4.5, "#ffffff", "#000000");
      }
      if (state.path) for (let k = 0; k < steps.length; k++) {
        if (!steps[k].place) continue;
        const end = k + 1 === steps.length || steps[k + 1].run !== steps[k].run;
        const start = k === 0 || steps[k - 1].run !== steps[k].run;
        const p = steps[k].dropped && !end ? disc(g, steps[k].place, 4.5, "#d00000", "#ffffff")
          : disc(g, steps[k].place, end ? 5.5 : start ? 4.5 : steps.length > 20 ? 1.9 : 2.8,
          end ? "#ffffff" : theme("path"), end ? "#000000" : "#ffffff", end || start ? 1.4 : 0.7);
        if (start || end) {
          g.textAlign = p[0] > width - 120 ? "right" : "left";
          haloed(g, steps[k].label.slice(0, 40), p[0] + (p[0] > width - 120 ? -9 : 9), p[1] - 9,
            strong);
        }
      }
      if (state.probe !== null) {
        const h = heights[state.probe];
        const at = [PX[state.probe % NX], PY[Math.floor(state.probe / NX)]];
        disc(g, [...at, Number.isNaN(h) ? 0 : h], 5, "rgba(255,255,255,0.35)", strong);
      }
    };

    const drawBar = () => {
      const { g, width } = pen(bar);
      const left = 14, right = width - 14;
      for (let px = left; px < right; px++) {
        g.fillStyle = css(color((px - left) / (right - left)));
        g.fillRect(px, 4, 1.5, 14);
      }
      g.strokeStyle = theme("muted"); g.lineWidth = 0.7; g.strokeRect(left, 4, right - left, 14);
      g.textBaseline = "top"; g.textAlign = "center"; g.fillStyle = theme("ink");
      let end = -Infinity;
      for (const [h, text] of marks({ ...scale, high: top }, Math.max(2, Math.floor(width / 70)))) {
        const px = left + (right - left) * (h - scale.low) / ((top - scale.low) || 1);
        const half = g.measureText(text).width / 2, at = Math.min(width - half, Math.max(half, px));
        if (at - half < end + 6) continue;
        end = at + half;
        g.fillRect(px - 0.5, 18, 1, 4);
        g.fillText(text, at, 25);
      }
    };

    const cellWords = (cell) => {
      const i = cell % NX, j = Math.floor(cell / NX);
      return `α ${number(values.x[i])}, β ${number(values.y[j])}: ${told(state.dataset, cell)}`;
    };
    const tell = () => {
      if (state.probe !== null) readout.textContent = cellWords(state.probe);
      else {
        const anchor = values.anchors[0], loss = anchor && anchor.loss[state.dataset];
        readout.textContent = loss === null || loss === undefined || values.trajectory.length
          ? "Point at the surface to read its values."
          : `Centre, the trained network: loss ${number(loss, 5)}`;
      }
    };
    draw = () => {
      const { width, height } = fit(floor);
      if (!width || !height) return;
      camera = aim(width, height);
      const frame = drawFloor();
      drawSurface();
      drawInk(frame);
      drawBar();
      share();
    };

    // Several such pages side by side may be turned as one: the page that holds their frames
    // passes on what each tells of its camera.
    let said = "";
    const pose = () => [state.azimuth, state.elevation, state.zoom];
    const share = () => {
      if (window.parent === window || said === pose().join()) return;
      said = pose().join();
      window.parent.postMessage({ lossatlas: "camera", pose: pose() }, "*");
    };
    window.addEventListener("message", ({ source, data }) => {
      if (source !== window.parent || !data || data.lossatlas !== "camera") return;
      const given = data.pose;
      if (!Array.isArray(given) || given.length !== 3 || !given.every(Number.isFinite)) return;
      state.azimuth = given[0];
      state.elevation = Math.min(Math.PI / 2, Math.max(0.08, given[1]));
      state.zoom = Math.min(6, Math.max(0.5, given[2]));
      said = pose().join();
      redraw();
    });
    surface.addEventListener("webglcontextlost", (event) => event.preventDefault());
    surface.addEventListener("webglcontextrestored", () => { setUp(); build(); redraw(); });

    const turn = (da, de) => {
      state.azimuth += da;
      state.elevation = Math.min(Math.PI / 2, Math.max(0.08, state.elevation + de));
      redraw();
    };
    const zoom = (by) => { state.zoom = Math.min(6, Math.max(0.5, state.zoom * by)); redraw(); };
    const reset = () => {
      Object.assign(state, { azimuth: -0.9, elevation: 0.76, zoom: 1, probe: null });
      tell(); redraw();
    };
    const above = () => { Object.assign(state, { azimuth: 0, elevation: Math.PI / 2 }); redraw(); };
    $("reset").addEventListener("click", reset);
    $("top").addEventListener("click", above);
    $("cut").addEventListener("input", (event) => {
      state.cut = (Number(event.target.value) / 100) ** 2;
      build(); redraw();
    });

    const down = new Map();
    let spread = 0;
    const local = (event) => {
      const box = stage.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    stage.addEventListener("pointerdown", (event) => {
      stage.setPointerCapture(event.pointerId);
      down.set(event.pointerId, local(event));
      stage.classList.add("turning");
      spread = 0;
    });
    stage.addEventListener("pointermove", (event) => {
      const at = local(event), from = down.get(event.pointerId);
      if (from === undefined) {
        state.probe = camera ? pick(...at) : null;
        tell(); redraw();
        return;
      }
      down.set(event.pointerId, at);
      if (down.size === 1) turn((from[0] - at[0]) * 0.008, (at[1] - from[1]) * 0.008);
      else {
        const [p, q] = [...down.values()], apart = Math.hypot(p[0] - q[0], p[1] - q[1]);
        if (spread) zoom(apart / spread);
        spread = apart;
      }
    });
    const up = (event) => {
      down.delete(event.pointerId);
      spread = 0;
      if (!down.size) stage.classList.remove("turning");
    };
    stage.addEventListener("pointerup", up);
    stage.addEventListener("pointercancel", up);
    stage.addEventListener("pointerleave", () => {
      if (!down.size) { state.probe = null; tell(); redraw(); }
    });
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      zoom(Math.exp(-Math.sign(event.deltaY) * Math.min(60, Math.abs(event.deltaY)) * 0.002));
    }, { passive: false });
    stage.addEventListener("dblclick", reset);
    const moved = (di, dj) => {
      const start = state.probe === null ? nearest(placeX(0), placeY(0)) : state.probe;
      const i = Math.min(NX - 1, Math.max(0, start % NX + di));
      const j = Math.min(NY - 1, Math.max(0, Math.floor(start / NX) + dj));
      state.probe = j * NX + i;
      tell(); redraw();
    };
    stage.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
      const arrow = arrows[event.key];
      if (arrow) event.shiftKey ? moved(...arrow) : turn(-arrow[0] * 0.1, arrow[1] * 0.1);
      else if (event.key === "+" || event.key === "=") zoom(1.12);
      else if (event.key === "-") zoom(1 / 1.12);
      else if (event.key === "0" || event.key === "r") reset();
      else if (event.key === "t") above();
      else if (event.key === "l") $("log").click();
      else if (event.key === "Escape") { state.probe = null; tell(); redraw(); }
      else return;
      event.preventDefault();
    });
    const KEYS = "Drag or use the arrow keys to turn; scroll, pinch or press + and − to zoom; Shift "
      + "with the arrow keys walks from cell to cell; L switches the scale, T looks from above, 0 "
      + "resets.";
    const explain = () => {
      const holes = !voids.length ? "" : voids.length === 1 ? " One cell has no value: grey on the "
        + "floor." : ` ${voids.length} cells have no value: grey on the floor.`;
      const drops = values.trajectory.some((s) => s.dropped)
        ? " Red dots: the learning rate was lowered." : "";
      $("help").textContent = KEYS + holes + drops;
    };
    return { build, tell: () => { tell(); explain(); } };
  };

  // ---------------------------------------------------------------- line
  const startLine = () => {
    const shownSets = () => values.datasets.map((_, k) => k)
      .filter((k) => (state.dataset === -1 || state.dataset === k) && metricOf(k));
    const series = (k) => theme(`s${k % 6}`);
    let area = null;
    draw = () => {
      const { g, width, height } = pen(ink);
      if (!width || !height) return;
      const sets = shownSets();
      const own = state.metric === "loss"
        ? values.networks.map((n) => n.loss.filter((_, k) => sets.includes(k))) : [];
      const scale = scaleOf([...sets.map(metricOf), ...own]);
      const pad = (scale.high - scale.low) * 0.04;
      const levels = marks(scale, Math.max(3, Math.floor(height / 70)));
      const margin = Math.max(...levels.map(([, text]) => g.measureText(text).width), 10) + 14;
      const names = sets.map((k) => values.datasets[k].name);
      area = { left: margin, right: width - 14, top: 34, bottom: height - 44 };
      const x0 = values.x[0], x1 = values.x[NX - 1];
      const px = (v) => x1 > x0 ? area.left + (v - x0) / (x1 - x0) * (area.right - area.left)
        : (area.left + area.right) / 2;
      const py = (h) => area.bottom - (h - scale.low + pad) / (scale.high - scale.low + 2 * pad)
        * (area.bottom - area.top);
      g.strokeStyle = theme("rule"); g.lineWidth = 1; g.fillStyle = theme("muted");
      g.textAlign = "right"; g.textBaseline = "middle";
      for (const [h, text] of levels) {
        g.beginPath(); g.moveTo(area.left, py(h)); g.lineTo(area.right, py(h)); g.stroke();
        g.fillText(text, area.left - 8, py(h));
      }
      g.textAlign = "center"; g.textBaseline = "top";
      for (const v of ticks(x0, x1, Math.max(2, Math.min(9, Math.floor(width / 90))))) {
        g.beginPath(); g.moveTo(px(v), area.bottom); g.lineTo(px(v), area.bottom + 5); g.stroke();
        g.fillText(number(v, 3), px(v), area.bottom + 8);
      }
      g.fillStyle = theme("ink");
      g.fillText("α", (area.left + area.right) / 2, area.bottom + 26);
      g.strokeStyle = theme("muted");
      g.strokeRect(area.left, area.top, area.right - area.left, area.bottom - area.top);
      g.setLineDash([4, 4]);
      for (const anchor of values.anchors) {
        if (anchor.x < x0 || anchor.x > x1) continue;
        g.beginPath(); g.moveTo(px(anchor.x), area.top); g.lineTo(px(anchor.x), area.bottom);
        g.stroke();
      }
      g.setLineDash([]);
      const dashes = [[], [7, 4], [2, 3], [9, 3, 2, 3]];
      sets.forEach((k) => {
        g.strokeStyle = series(k); g.fillStyle = series(k); g.lineWidth = 2; g.lineJoin = "round";
        g.setLineDash(dashes[k % 4]);
        g.beginPath();
        let open = false;
        metricOf(k).forEach((v, i) => {
          const h = heightOf(v);
          if (Number.isNaN(h)) { open = false; return; }
          if (open) g.lineTo(px(values.x[i]), py(h)); else g.moveTo(px(values.x[i]), py(h));
          open = true;
        });
        g.stroke();
        g.setLineDash([]);
        metricOf(k).forEach((v, i, all) => {
          const alone = Number.isNaN(heightOf(all[i - 1])) && Number.isNaN(heightOf(all[i + 1]));
          if (Number.isNaN(heightOf(v)) || !alone) return;
          g.beginPath(); g.arc(px(values.x[i]), py(heightOf(v)), 3, 0, 7); g.fill();
        });
      });
      // networks themselves, where the line gives another loss
      if (state.metric === "loss") for (const network of values.networks) for (const k of sets) {
        const h = network.loss[k] === null ? NaN : heightOf(network.loss[k]);
        if (Number.isNaN(h) || network.x < x0 || network.x > x1) continue;
        const [cx, cy] = [px(network.x), py(h)];
        g.beginPath();
        g.moveTo(cx, cy - 6); g.lineTo(cx + 6, cy); g.lineTo(cx, cy + 6); g.lineTo(cx - 6, cy);
        g.closePath();
        g.fillStyle = theme("paper"); g.fill();
        g.strokeStyle = series(k); g.lineWidth = 1.6; g.stroke();
      }
      // legend, as far as it fits
      g.textAlign = "left"; g.textBaseline = "middle";
      const word = state.metric.replace(/_/g, " ") + (state.log ? ", log" : "");
      g.fillStyle = theme("ink"); g.fillText(word, area.left, 14);
      let at = area.left + g.measureText(word).width + 18;
      names.forEach((name, n) => {
        const text = name.length > 28 ? `${name.slice(0, 27)}…` : name;
        const size = g.measureText(text).width + 34;
        if (at + size > width) return;
        g.strokeStyle = series(sets[n]); g.lineWidth = 2; g.setLineDash(dashes[sets[n] % 4]);
        g.beginPath(); g.moveTo(at, 14); g.lineTo(at + 22, 14); g.stroke();
        g.setLineDash([]); g.fillStyle = theme("ink"); g.fillText(text, at + 28, 14);
        at += size + 12;
      });
      if (state.probe === null) return;
      const at0 = px(values.x[state.probe]);
      g.strokeStyle = theme("ink"); g.lineWidth = 1;
      g.beginPath(); g.moveTo(at0, area.top); g.lineTo(at0, area.bottom); g.stroke();
      for (const k of sets) {
        const h = heightOf(metricOf(k)[state.probe]);
        if (Number.isNaN(h)) continue;
        g.beginPath(); g.arc(at0, py(h), 4, 0, 7);
        g.fillStyle = series(k); g.fill(); g.strokeStyle = theme("halo"); g.stroke();
      }
    };
    const tell = () => {
      if (state.probe === null) {
        readout.textContent = "Point at the curve to read its values.";
        return;
      }
      const parts = shownSets().map((k) => `${values.datasets[k].name}: ${told(k, state.probe)}`);
      readout.textContent = `α ${number(values.x[state.probe])} — ${parts.join("; ")}`;
    };
    const probe = (index) => { state.probe = index; tell(); redraw(); };
    stage.addEventListener("pointermove", (event) => {
      if (!area) return;
      const at = event.clientX - stage.getBoundingClientRect().left;
      const x0 = values.x[0], x1 = values.x[NX - 1];
      const v = x0 + (at - area.left) / (area.right - area.left) * (x1 - x0);
      probe(values.x.reduce((best, x, k) =>
        Math.abs(x - v) < Math.abs(values.x[best] - v) ? k : best, 0));
    });
    stage.addEventListener("pointerleave", () => probe(null));
    stage.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const from = state.probe === null ? Math.floor(NX / 2) : state.probe;
      if (event.key === "ArrowLeft") probe(Math.max(0, from - 1));
      else if (event.key === "ArrowRight") probe(Math.min(NX - 1, from + 1));
      else if (event.key === "Home") probe(0);
      else if (event.key === "End") probe(NX - 1);
      else if (event.key === "l") $("log").click();
      else if (event.key === "Escape") probe(null);
      else return;
      event.preventDefault();
    });
    $("help").textContent = "Point at the curve, or use the left and right arrow keys, to read "
      + "values; L switches the scale. Dashed uprights mark the trained networks."
      + (values.networks.length
        ? " Diamonds: the networks themselves, with their own running statistics." : "");
    return { build: () => {}, tell };
  };

  // ---------------------------------------------------------------- controls
  const fail = (words) => {
    live.hidden = true;
    still.hidden = false;
    $("why").hidden = false;
    $("why").textContent = words;
  };
  const start = () => {
    live.hidden = false;
    state.log = wide();
    const shows = isPlane ? startPlane() : startLine();
    if (!shows) {
      fail("This browser has no WebGL 2, so that the surface cannot be turned; the figure shows "
        + "the same.");
      return;
    }
    still.hidden = true;
    const datasets = $("dataset"), metrics = $("metric"), log = $("log");
    if (!isPlane && values.datasets.length > 1) {
      datasets.add(new Option("all", "-1"));
      state.dataset = -1;
    }
    values.datasets.forEach((d, k) => datasets.add(new Option(d.name, String(k))));
    datasets.value = String(state.dataset);
    const refreshMetrics = () => {
      const k = Math.max(0, state.dataset), names = Object.keys(values.datasets[k].metrics);
      if (!names.includes(state.metric)) state.metric = "loss";
      metrics.replaceChildren(...names.map((n) => new Option(n.replace(/_/g, " "), n)));
      metrics.value = state.metric;
    };
    const refresh = () => {
      log.disabled = !positive();
      if (log.disabled) state.log = false;
      log.checked = state.log;
      shows.build(); shows.tell(); redraw();
    };
    datasets.addEventListener("change", () => {
      state.dataset = Number(datasets.value);
      refreshMetrics(); refresh();
    });
    metrics.addEventListener("change", () => {
      state.metric = metrics.value;
      state.log = wide() && state.metric !== "accuracy";
      refresh();
    });
    log.addEventListener("change", () => { state.log = log.checked; refresh(); });
    $("trajectory-control").hidden = !isPlane || !values.trajectory.length;
    $("trajectory").addEventListener("change", (event) => {
      state.path = event.target.checked;
      redraw();
    });
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const paint = (name) => {
      root.dataset.theme = name;
      $("theme").setAttribute("aria-pressed", String(name === "dark"));
      redraw();
    };
    paint(dark.matches ? "dark" : "light");
    dark.addEventListener("change", () => paint(dark.matches ? "dark" : "light"));
    $("theme").addEventListener("click", () =>
      paint(root.dataset.theme === "dark" ? "light" : "dark"));
    new ResizeObserver(redraw).observe(stage);
    refreshMetrics();
    refresh();
  };
  try {
    start();
  } catch (error) {
    fail(`The surface cannot be shown here (${error.message}); the figure shows the same.`);
  }
})();
