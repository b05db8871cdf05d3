"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const data = (id) => JSON.parse(document.getElementById(id).textContent);
  const find = (id) => document.getElementById(id);

  // Every text goes through text nodes, never through HTML, so that no name or id can become markup.
  const fill = (node, attributes, children) => {
    for (const [name, value] of Object.entries(attributes)) if (value !== null) node.setAttribute(name, value);
    const given = children.flat().filter((child) => child !== null);
    node.append(...given.map((child) => (child instanceof Node ? child : String(child))));
    return node;
  };
  const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

  const number = (value) => {
    if (value === null || value === undefined) return "-";
    if (Number.isInteger(value)) return String(value);
    return Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(4)));
  };
  const percent = (value) => `${(100 * value).toFixed(1)} %`;
  const ratio = (one, other) => (other ? (one / other).toFixed(4) : "-");

  // ---- charts ------------------------------------------------------------------------------------------------------
  const WIDTH = 400, HEIGHT = 260, LEFT = 50, RIGHT = 12, TOP = 10, BOTTOM = 40;

  function ticks(low, high, most = 6) {
    const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(Number((i * step).toPrecision(10)));
    return found;
  }

  function range(values, zero = false) {
    const known = values.filter((value) => value !== null);
    if (!known.length) return [0, 1];
    let low = Math.min(...known), high = Math.max(...known);
    if (zero) low = Math.min(low, 0);
    if (low === high) [low, high] = [low - 0.5, high + 0.5];
    const margin = (high - low) * 0.04;
    return [zero && low === 0 ? 0 : low - margin, high + margin];
  }

  // series: {name, x, y, colour, dashed, faint, dots (radii or true), hidden from the legend}; bars: {x0, x1, y, colour}
  function chart({ caption, label, xName, yName, x, y, series = [], bars = [], diagonal = false, legend = true, integers = false }) {
    const atX = (value) => LEFT + ((value - x[0]) / (x[1] - x[0])) * (WIDTH - LEFT - RIGHT);
    const atY = (value) => HEIGHT - BOTTOM - ((value - y[0]) / (y[1] - y[0])) * (HEIGHT - TOP - BOTTOM);
    const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
    for (const value of ticks(y[0], y[1], 5)) {
      picture.append(svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: atY(value), y2: atY(value) }));
      picture.append(svg("text", { x: LEFT - 5, y: atY(value) + 4, "text-anchor": "end" }, number(value)));
    }
    for (const value of ticks(x[0], x[1]).filter((one) => !integers || Number.isInteger(one))) {
      picture.append(svg("line", { class: "grid", x1: atX(value), x2: atX(value), y1: TOP, y2: HEIGHT - BOTTOM }));
      picture.append(svg("text", { x: atX(value), y: HEIGHT - BOTTOM + 14, "text-anchor": "middle" }, number(value)));
    }
    picture.append(svg("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM }));
    picture.append(svg("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, xName));
    const middle = (TOP + HEIGHT - BOTTOM) / 2;
    picture.append(svg("text", { x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` }, yName));
    if (diagonal) {
      const low = Math.max(x[0], y[0]), high = Math.min(x[1], y[1]);
      picture.append(svg("line", { class: "diagonal", x1: atX(low), y1: atY(low), x2: atX(high), y2: atY(high) }));
    }
    for (const bar of bars) {
      const top = atY(bar.y), width = Math.max(atX(bar.x1) - atX(bar.x0) - 1, 0.5);
      picture.append(svg("rect", { class: `area k${bar.colour}`, x: atX(bar.x0) + 0.5, width, y: top, height: Math.max(atY(Math.max(y[0], 0)) - top, 0) }));
    }
    for (const one of series) {
      const look = `k${one.colour}`;
      const points = one.x.map((value, i) => [value, one.y[i]]).filter((point) => point[1] !== null);
      if (one.dots) {
        points.forEach((point, i) => picture.append(svg("circle", { class: `fill mark ${look}`, cx: atX(point[0]), cy: atY(point[1]), r: one.dots === true ? 3 : one.dots[i] })));
      }
      if (!one.dots || one.joined) {
        const path = points.map((point, i) => `${i ? "L" : "M"}${atX(point[0]).toFixed(1)} ${atY(point[1]).toFixed(1)}`).join("");
        picture.append(svg("path", { class: `curve ${look}${one.dashed ? " dashed" : ""}${one.faint ? " faint" : ""}`, d: path }));
      }
    }
    const figure = el("figure", {}, el("figcaption", {}, caption), picture);
    const named = series.filter((one) => one.name && !one.faint);
    if (legend && named.length + bars.filter((bar) => bar.name).length > 1) {
      const keys = [...named, ...bars.filter((bar) => bar.name)].map((one) =>
        el("li", {}, svg("svg", { viewBox: "0 0 22 10", "aria-hidden": "true" }, "x1" in one
          ? svg("rect", { class: `area k${one.colour}`, width: 22, height: 10 })
          : svg("line", { class: `curve k${one.colour}${one.dashed ? " dashed" : ""}`, x1: 0, x2: 22, y1: 5, y2: 5 })), one.name));
      figure.append(el("ul", { class: "legend" }, keys));
    }
    figure.append(readout(picture, named, x, atX));
    return figure;
  }

  // The values of all lines under the pointer, in words below the chart.
  function readout(picture, series, x, atX) {
    const text = el("p", { class: "readout", "aria-hidden": "true" });
    if (!series.length) return text;
    const cursor = svg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
    picture.append(cursor);
    picture.addEventListener("pointermove", (event) => {
      const box = picture.getBoundingClientRect();
      const at = x[0] + (((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT) * (x[1] - x[0]);
      const found = series.slice(0, 4).map((one) => {
        let best = 0;
        one.x.forEach((value, i) => { if (Math.abs(value - at) < Math.abs(one.x[best] - at)) best = i; });
        return [one.x[best], `${one.name ? `${one.name}: ` : ""}${number(one.y[best])}`];
      });
      cursor.setAttribute("x1", atX(found[0][0]));
      cursor.setAttribute("x2", atX(found[0][0]));
      cursor.setAttribute("visibility", "visible");
      text.textContent = `at ${number(found[0][0])}: ${found.map((one) => one[1]).join(", ")}`;
    });
    picture.addEventListener("pointerleave", () => { cursor.setAttribute("visibility", "hidden"); text.textContent = ""; });
    return text;
  }

  const card = (title, ...children) => el("section", { class: "card" }, el("h3", {}, title), ...children);
  const scroll = (label, table) => el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table);
  const head = (...names) => el("thead", {}, el("tr", {}, names.map((name, i) => el("th", { scope: "col", class: i ? "number" : null }, name))));

  // ---- the cards of one run ----------------------------------------------------------------------------------------
  function learning(run) {
    if (!run.history.length) return card("Learning curves", el("p", {}, "This run was made elsewhere: no losses by epoch are known."));
    const series = run.history.flatMap((one, i) => [
      { name: one.name, x: one.epoch, y: one.loss, colour: i % 8 },
      ...(one.held_out ? [{ name: `${one.name}, held out`, x: one.epoch, y: one.held_out, colour: i % 8, dashed: true }] : []),
    ]);
    const last = Math.max(...run.history.flatMap((one) => one.epoch)), losses = series.flatMap((one) => one.y);
    const ends = run.history.map((one) => `${one.name} ${number(one.loss[one.loss.length - 1])}`).join(", ");
    const heldOut = run.history.some((one) => one.held_out);
    return card("Learning curves", chart({
      caption: heldOut ? "Loss by epoch; dashed: on the held-out fold" : "Training loss by epoch, a line for each fold",
      label: `Learning curves, training loss of the last epoch: ${ends}`,
      xName: "epoch", yName: "loss", x: last > 1 ? [1, last] : [0.5, 1.5], y: range(losses, true), series: series.map((one) => (one.x.length === 1 ? { ...one, dots: true } : one)), integers: true,
    }));
  }

  function curveCard(run, output, key, title, names, figure, diagonal) {
    const one = run.outputs[output];
    if (!one[key]) return card(title, el("p", {}, `All ${one.n} rows have one label: there is no such curve.`));
    const faint = run.outputs.length > 1 ? run.outputs.filter((other, i) => i !== output && other[key]) : [];
    const series = [...faint.map((other) => ({ x: other[key][0], y: other[key][1], colour: 7, faint: true })), { name: names[1], x: one[key][0], y: one[key][1], colour: 0 }];
    return card(title, chart({ caption: figure, label: `${title}: ${figure}`, xName: names[0], yName: names[1], x: [0, 1], y: [0, 1.005], series, diagonal, legend: false }));
  }

  function reliability(run) {
    const { bins, expected_calibration_error: error, about } = run.reliability;
    const total = bins.reduce((sum, bin) => sum + bin[2], 0);
    const figure = `Expected calibration error ${error.toFixed(4)}`;
    const rows = bins.map((bin) => el("tr", {}, el("td", { class: "number" }, bin[0].toFixed(3)), el("td", { class: "number" }, bin[1].toFixed(3)), el("td", { class: "number" }, bin[2])));
    const what = about === "label 1" ? "share of label 1" : "share that is right";
    return card("Reliability", chart({
      caption: `${figure}; on the diagonal, probabilities are what they claim. Larger dots hold more rows.`, label: `Reliability diagram: ${figure}`,
      xName: about === "label 1" ? "predicted probability" : "probability of the likeliest class", yName: what, x: [0, 1], y: [0, 1.005], diagonal: true, legend: false,
      series: [{ name: what, x: bins.map((bin) => bin[0]), y: bins.map((bin) => bin[1]), colour: 0, dots: bins.map((bin) => 3 + 7 * Math.sqrt(bin[2] / total)), joined: true }],
    }), el("details", {}, el("summary", {}, "Numbers"), scroll("Bins of the reliability diagram", el("table", {}, el("thead", {}, el("tr", {}, ["mean probability", what, "rows"].map((name) => el("th", { scope: "col", class: "number" }, name)))), el("tbody", {}, rows)))));
  }

  function histogram(run, output) {
    const one = run.outputs[output], n = one.histogram.positive.length;
    const sides = [["negative", one.n - one.n_positive, 1, "label 0"], ["positive", one.n_positive, 0, "label 1"]];
    const bars = sides.flatMap(([key, total, colour, name]) => one.histogram[key].map((count, i) => (
      { name: i ? null : `${name} (${total} rows)`, x0: i / n, x1: (i + 1) / n, y: total ? count / total : 0, colour })));
    return card("Predictions by class", chart({
      caption: `Share of the rows of each label${run.outputs.length > 1 ? `, ${one.name}` : ""}`,
      label: `Histogram of predicted probabilities: ${one.n_positive} rows of label 1, ${one.n - one.n_positive} of label 0`,
      xName: "predicted probability", yName: "share of rows", x: [0, 1], y: range(bars.map((bar) => bar.y), true), bars,
    }));
  }

  const level = (value, most) => `--level: ${most ? Math.round((90 * value) / most) : 0}%`;

  function binaryMatrix(run, output) {
    const one = run.outputs[output], table = el("table", { class: "heat matrix" }), figures = el("dl", { class: "facts" });
    const slider = el("input", { type: "range", id: "threshold", min: "0", max: "100", step: "1", value: "50" });
    const shown = el("output", { for: "threshold" });
    const update = () => {
      const at = Number(slider.value), tp = one.counts.true_positive[at], fp = one.counts.false_positive[at];
      const fn = one.n_positive - tp, tn = one.n - one.n_positive - fp, most = Math.max(tp, fp, fn, tn);
      shown.textContent = (at / 100).toFixed(2);
      slider.setAttribute("aria-valuetext", `threshold ${shown.textContent}`);
      table.replaceChildren(el("caption", {}, `Decided 1 where the probability is at least ${shown.textContent}`), head("true label", "decided 0", "decided 1"), el("tbody", {},
        el("tr", {}, el("th", { scope: "row" }, "label 0"), el("td", { id: "tn", style: level(tn, most) }, tn), el("td", { id: "fp", style: level(fp, most) }, fp)),
        el("tr", {}, el("th", { scope: "row" }, "label 1"), el("td", { id: "fn", style: level(fn, most) }, fn), el("td", { id: "tp", style: level(tp, most) }, tp))));
      const found = [["accuracy", ratio(tp + tn, one.n)], ["precision", ratio(tp, tp + fp)], ["recall", ratio(tp, tp + fn)], ["F1", ratio(2 * tp, 2 * tp + fp + fn)]];
      figures.replaceChildren(...found.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
    };
    slider.addEventListener("input", update);
    update();
    return card(`Confusion matrix${run.outputs.length > 1 ? `: ${one.name}` : ""}`, el("p", { class: "tools" }, el("label", { for: "threshold" }, "Threshold"), slider, shown), scroll("Confusion matrix", table), figures);
  }

  function classMatrix(run) {
    const { classes, counts } = run.matrix, table = el("table", { class: "heat matrix" }), figure = el("p", {});
    const slider = el("input", { type: "range", id: "threshold", min: "0", max: String(counts.length - 1), step: "1", value: "0" });
    const shown = el("output", { for: "threshold" });
    const update = () => {
      const at = Number(slider.value), cells = counts[at];
      const most = Math.max(...cells.flat()), total = cells.flat().reduce((sum, count) => sum + count, 0);
      const right = cells.reduce((sum, line, i) => sum + line[i], 0), undecided = cells.reduce((sum, line) => sum + line[classes.length], 0);
      shown.textContent = (at / (counts.length - 1)).toFixed(2);
      slider.setAttribute("aria-valuetext", `threshold ${shown.textContent}`);
      table.replaceChildren(el("caption", {}, "A row for each true class, a column for each decided one"), head("true class", ...classes, "undecided"), el("tbody", {}, cells.map((line, i) =>
        el("tr", {}, el("th", { scope: "row" }, classes[i]), line.map((count) => el("td", { style: level(count, most) }, count))))));
      figure.textContent = `${total - undecided} of ${total} rows are decided, and ${right} of those are right (${total > undecided ? percent(right / (total - undecided)) : "-"}).`;
    };
    slider.addEventListener("input", update);
    update();
    const made = card("Confusion matrix", el("p", { class: "tools" }, el("label", { for: "threshold" }, "Least probability of a decision"), slider, shown), scroll("Confusion matrix", table), figure);
    made.classList.toggle("wide", classes.length > 5);
    return made;
  }

  function values(run, output) {
    const one = run.values[output], [x, y] = one.points, ends = range([...x, ...y]);
    const { counts, low, high } = one.residuals, step = (high - low) / counts.length;
    const bars = counts.map((count, i) => ({ x0: low + i * step, x1: low + (i + 1) * step, y: count, colour: 0 }));
    return [
      card(`Predicted against true: ${one.name}`, chart({
        caption: `${x.length} of ${one.n} rows, evenly spaced in the order of the truth`, label: `Scatter of predicted against true values of ${one.name}`,
        xName: "true", yName: "predicted", x: ends, y: ends, diagonal: true, legend: false, series: [{ name: "predicted", x, y, colour: 0, dots: true }],
      })),
      card("Residuals", chart({ caption: "Predicted minus true, all rows", label: `Histogram of residuals from ${number(low)} to ${number(high)}`, xName: "predicted minus true", yName: "rows", x: [low, high], y: range(counts, true), bars })),
    ];
  }

  function groups(run, metricName) {
    const made = run.groups.map((group) => {
      const most = Math.max(...group.rows.map((row) => Math.max(row[2], row[3])));
      const rows = group.rows.map(([value, n, loss, constant]) => el("tr", {}, el("th", { scope: "row" }, value), el("td", { class: "number" }, n), el("td", { class: "number" }, loss.toFixed(4)), el("td", { class: "number" }, constant.toFixed(4)),
        el("td", {}, svg("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("rect", { width: most ? (100 * loss) / most : 0, height: 10 })))));
      const left = group.n_values > group.rows.length ? `, the ${group.rows.length} of ${group.n_values} values that lose most` : "";
      return scroll(`Loss by ${group.column}`, el("table", {}, el("caption", {}, `By ${group.column}${left}`), el("thead", {}, el("tr", {}, el("th", { scope: "col" }, group.column), ["rows", metricName, "constant"].map((name) => el("th", { scope: "col", class: "number" }, name)), el("th", { scope: "col" }, "loss"))), el("tbody", {}, rows)));
    });
    return made.length ? card("Loss by group", ...made) : null;
  }

  function recipe(run) {
    const children = [];
    if (run.above) {
      const rows = run.above.difference.map(([name, above, here]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, above), el("td", {}, here)));
      children.push(rows.length
        ? scroll("Difference from the run above", el("table", { class: "above" }, el("caption", {}, `What differs from the run above it, ${run.above.name}`), el("thead", {}, el("tr", {}, ["setting", "above", "here"].map((name) => el("th", { scope: "col" }, name)))), el("tbody", {}, rows)))
        : el("p", {}, `Its recipe is that of the run above it, ${run.above.name}.`));
    } else children.push(el("p", {}, "This is the best run: there is none above it."));
    const lines = Object.entries(run.recipe).map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value)));
    children.push(el("details", {}, el("summary", {}, "The whole recipe"), scroll("Recipe", el("table", { class: "above" }, el("thead", {}, el("tr", {}, ["setting", "value"].map((name) => el("th", { scope: "col" }, name)))), el("tbody", {}, lines)))));
    const versions = Object.entries(run.versions).map(([name, version]) => `${name} ${version}`).join(", ");
    if (versions || run.device) children.push(el("p", { class: "note" }, [run.device ? `Trained on: ${run.device}. ` : "", versions]));
    return card("Recipe", ...children);
  }

  function samples(run) {
    if (!run.samples || !run.samples.length) return null;
    const img = (one) => el("img", { src: one.image, alt: one.alt, width: one.width, height: one.height });
    const map = (one) => el("figure", {}, img(one), el("figcaption", {}, one.name));
    const items = run.samples.map((one) => el("li", {},
      el("figure", {}, img(one), el("figcaption", {}, el("strong", {}, one.id), el("br"), one.text)),
      one.maps.map(map),
      one.neighbours.length ? el("details", {}, el("summary", {}, "Nearest training samples"), el("ol", { class: "near" }, one.neighbours.map((near) =>
        el("li", {}, el("figure", {}, img(near), el("figcaption", {}, el("strong", {}, near.id), ` ${near.text}`)))))) : null));
    const scales = data("page-data").scales.map((one) => el("li", {}, `${one.name}: `, el("span", { class: "ramp", "aria-hidden": "true" }), ` black ${number(one.low)}, white ${number(one.high)} ${one.unit}`));
    const explained = run.samples.some((one) => one.maps.length) ? el("p", {}, "Grad-CAM and occlusion show what speaks for the prediction, right or wrong: bright is much. Each map has a scale of its own.") : null;
    const made = card("Hardest samples", el("p", {}, "Held-out samples that lose most, or that are wrong with the highest probability, hardest first."), explained, scales.length ? el("ul", { class: "legend" }, scales) : null, el("ul", { class: "samples" }, items));
    made.classList.add("wide");
    return made;
  }

  let shownRun = -1;
  function showRun(index) {
    if (shownRun === index) return;
    shownRun = index;
    const run = data(`run-data-${index}`), view = find("run-view"), page = data("page-data");
    find("choose-run").value = String(index);
    find("previous-run").disabled = index === 0;
    find("next-run").disabled = !find(`run-data-${index + 1}`);
    const cards = el("div", { class: "cards" }), outputs = run.outputs || run.values || [];
    const usual = page.task === "regression" ? "RMSE" : "log loss";
    const kind = page.task === "multiclass" || page.task === "ordinal" ? "Class" : "Output";
    const draw = (output) => {
      const found = [learning(run)];
      if (run.values) found.push(...values(run, output));
      else {
        const one = run.outputs[output], name = run.outputs.length > 1 ? `, ${kind.toLowerCase()} ${one.name}` : "";
        found.push(curveCard(run, output, "roc", "ROC curve", ["false positive rate", "true positive rate"], `AUC ${number(one.auc)}${name}`, true));
        found.push(curveCard(run, output, "precision_recall", "Precision and recall", ["recall", "precision"], `Average precision ${number(one.average_precision)}${name}`, false));
        found.push(reliability(run), histogram(run, output), run.matrix ? classMatrix(run) : binaryMatrix(run, output));
      }
      found.push(groups(run, usual), recipe(run), samples(run));
      cards.replaceChildren(...found.filter((one) => one !== null));
    };
    const tools = [];
    if (outputs.length > 1) {
      const choice = el("select", { id: "output" }, outputs.map((one, i) => el("option", { value: i }, one.name)));
      choice.addEventListener("change", () => draw(Number(choice.value)));
      const left = run.outputs_left_out ? el("span", { class: "note" }, `${run.outputs_left_out} rarer ones are left out`) : null;
      tools.push(el("p", { class: "tools" }, el("label", { for: "output" }, kind), choice, left));
    }
    const figures = el("dl", { class: "facts" }, run.figures.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
    draw(0);
    view.replaceChildren(el("p", {}, el("strong", {}, `${run.rank}. ${run.name}`)), figures, ...tools, cards);
  }

  // ---- training against test data ----------------------------------------------------------------------------------
  function distribution(one) {
    if (one.values) {
      const rows = one.values.map(([value, train, test]) => el("tr", {}, el("th", { scope: "row" }, value), el("td", { class: "number" }, percent(train)), el("td", { class: "number" }, percent(test))));
      const left = one.n_values > one.values.length ? `, ${one.values.length} of ${one.n_values} values` : "";
      return card(one.name, scroll(`Shares of ${one.name}`, el("table", {}, el("caption", {}, `Distance ${number(one.distance)}${left}`), head("value", "training", "test"), el("tbody", {}, rows))));
    }
    const n = one.train.length, step = (one.high - one.low) / n;
    const bars = [["test", 1], ["train", 0]].flatMap(([key, colour]) => one[key].map((share, i) => ({ name: i ? null : key === "train" ? "training" : "test", x0: one.low + i * step, x1: one.low + (i + 1) * step, y: share, colour })));
    const [train, test] = one.missing;
    const missing = train || test ? ` Missing: ${percent(train)} of training, ${percent(test)} of test rows.` : "";
    return card(one.name, chart({
      caption: `Distance ${number(one.distance)}: ${one.differs ? "they differ" : "no more than by chance"}.${missing}`, label: `Distributions of ${one.name}, distance ${number(one.distance)}`,
      xName: one.name, yName: "share of rows", x: [one.low, one.high], y: range(bars.map((bar) => bar.y), true), bars,
    }));
  }
  function showData() {
    const place = find("data-charts");
    if (place && !place.firstChild) place.append(el("div", { class: "cards" }, data("page-data").distributions.map(distribution)));
  }

  // ---- tabs --------------------------------------------------------------------------------------------------------
  const tabs = [...document.querySelectorAll("[role=tab]")];
  function showTab(tab) {
    for (const one of tabs) {
      const chosen = one === tab, panel = find(one.getAttribute("aria-controls"));
      one.setAttribute("aria-selected", String(chosen));
      one.tabIndex = chosen ? 0 : -1;
      panel.hidden = !chosen;
    }
    tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (tab.id === "tab-data") showData();
    if (tab.id === "tab-run" && find("choose-run")) showRun(Math.max(shownRun, 0));
  }
  const go = (hash) => { if (location.hash !== hash) location.hash = hash; else route(); };
  function route() {
    const run = /^#run-(\d+)$/.exec(location.hash);
    if (run && find(`run-data-${run[1]}`)) {
      showRun(Number(run[1]));
      showTab(find("tab-run"));
      window.scrollTo(0, 0);
    } else {
      const tab = tabs.find((one) => location.hash === `#${one.id.slice(4)}`);
      if (tab || location.hash === "") showTab(tab || tabs[0]);
    }
  }
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => go(`#${tab.id.slice(4)}`));
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = tabs[(to + tabs.length) % tabs.length];
      next.focus();
      go(`#${next.id.slice(4)}`);
    });
    const panel = find(tab.getAttribute("aria-controls"));
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", tab.id);
  });
  for (const node of document.querySelectorAll(".tabs, .js")) node.hidden = false;
  window.addEventListener("hashchange", route);

  if (find("choose-run")) {
    find("choose-run").addEventListener("change", (event) => go(`#run-${event.target.value}`));
    find("previous-run").addEventListener("click", () => go(`#run-${shownRun - 1}`));
    find("next-run").addEventListener("click", () => go(`#run-${shownRun + 1}`));
  }

  // ---- the table of runs -------------------------------------------------------------------------------------------
  const board = find("leaderboard"), body = board.tBodies[0], columns = [...board.tHead.rows[0].cells];
  const valueOf = (row, at, kind) => {
    const value = row.cells[at].dataset.value;
    return kind === "text" ? value.toLowerCase() : value === "" ? null : Number(value);
  };
  columns.forEach((column, at) => column.firstElementChild.addEventListener("click", () => {
    const down = column.getAttribute("aria-sort") === "ascending", kind = column.dataset.kind;
    for (const other of columns) other.removeAttribute("aria-sort");
    column.setAttribute("aria-sort", down ? "descending" : "ascending");
    const keyed = [...body.rows].map((row) => [valueOf(row, at, kind), row]);
    keyed.sort(([one], [other]) => {
      if (one === null || other === null) return (one === null) - (other === null);  // what has no value comes last
      const order = one < other ? -1 : one > other ? 1 : 0;
      return down ? -order : order;
    });
    body.append(...keyed.map(([, row]) => row));
  }));
  const runRows = [...body.rows].filter((row) => !row.classList.contains("constant"));
  find("filter").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
    let shown = 0;
    for (const row of runRows) {
      row.hidden = !words.every((word) => row.dataset.search.includes(word));
      shown += !row.hidden;
    }
    find("count").textContent = `${shown} of ${runRows.length} runs`;
  });

  // ---- CV against leaderboard --------------------------------------------------------------------------------------
  const submitted = find("submitted-chart");
  if (submitted) {
    const entries = data("page-data").submitted.filter((one) => one.nested !== null);
    const series = ["public", "private"].map((name, i) => {
      const known = entries.filter((one) => one[name] !== null);
      return { name, x: known.map((one) => one.nested), y: known.map((one) => one[name]), colour: i, dots: true };
    }).filter((one) => one.x.length);
    if (series.length) {
      const figure = chart({
        caption: "A dot for each submission; on the diagonal both scores agree", label: "Scores on Kaggle's leaderboard against nested scores",
        xName: "nested score", yName: "leaderboard", x: range(series.flatMap((one) => one.x)), y: range(series.flatMap((one) => one.y)), series, diagonal: true,
      });
      submitted.append(el("div", { class: "cards" }, el("div", { class: "card" }, figure)));
    }
  }

  // ---- Tuning ------------------------------------------------------------------------------------------------------
  data("page-data").searches.forEach((search, i) => {
    const number = search.trials.map((one) => one.number);
    const series = [
      { name: "each recipe", x: number, y: search.trials.map((one) => one.score), colour: 0, dots: true },
      { name: "best so far", x: number, y: search.trials.map((one) => one.best), colour: 1 },
    ];
    const figure = chart({
      caption: "The score of each recipe, and the best so far", label: `Scores of the recipes of ${search.file} in their order`,
      xName: "trial", yName: data("page-data").metric.label, x: range(number), y: range(series.flatMap((one) => one.y)), series,
    });
    find(`search-chart-${i}`).append(el("div", { class: "cards" }, el("div", { class: "card" }, figure)));
  });

  route();
})();
