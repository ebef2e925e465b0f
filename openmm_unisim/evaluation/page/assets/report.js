// Draws the figures and the 3-D view of a report from the JSON beside it.
(function () {
  "use strict";
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const coarse = window.matchMedia("(pointer: coarse)").matches;
  const FONT = { family: 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif', size: 12, color: "#1c2430" };

  function drawFigure(figure) {
    const narrow = window.innerWidth < 720;
    const layout = Object.assign(
      {
        font: FONT,
        margin: { l: narrow ? 48 : 60, r: 12, t: 12, b: 44 },
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "#ffffff",
        legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, itemsizing: "constant" },
        dragmode: coarse ? false : "zoom", // a finger on a plot scrolls the page
      },
      figure.layout
    );
    const multiple = figure.data.filter((trace) => trace.type === "scatter").length > 1;
    layout.showlegend = multiple;
    if (multiple) layout.margin.t = 30;
    for (const name of ["xaxis", "yaxis"]) {
      layout[name] = Object.assign({ zeroline: false, gridcolor: "#eceff3", ticks: "outside", automargin: true }, layout[name]);
      layout[name].title = Object.assign({ standoff: 10 }, layout[name].title);
    }
    if (narrow && figure.data[0].type === "heatmap") {
      const box = document.getElementById(figure.id); // square map as wide as the page, its scale above it
      layout.height = box.clientWidth + 50;
      layout.margin.t = 60;
      box.style.height = layout.height + "px";
      Object.assign(figure.data[0].colorbar, { orientation: "h", x: 0.5, y: 1.02, yanchor: "bottom", thickness: 10 });
      figure.data[0].colorbar.title = Object.assign({}, figure.data[0].colorbar.title, { side: "top" });
    }
    Plotly.newPlot(figure.id, figure.data, layout, { responsive: true, displaylogo: false, displayModeBar: false });
  }

  function toAtoms(viewer, frame) {
    return viewer.atoms.map(function (atom, index) {
      return {
        elem: atom[0], atom: atom[1], resn: atom[2], resi: atom[3], chain: String.fromCharCode(65 + (atom[4] % 26)),
        index: index, serial: index + 1, hetflag: false, bonds: atom[5], bondOrder: atom[5].map(function () { return 1; }),
        x: frame[3 * index] / 100, y: frame[3 * index + 1] / 100, z: frame[3 * index + 2] / 100, // 0.001 nm to angstrom
      };
    });
  }

  function drawMolecule(viewer) {
    const box = document.getElementById("viewer");
    let scene;
    try {
      scene = $3Dmol.createViewer(box, { backgroundColor: "white", antialias: true });
    } catch (error) {
      scene = null;
    }
    if (!scene) {
      box.innerHTML = "<p>The 3-D view needs WebGL, which this browser doesn't offer.</p>";
      return;
    }
    const model = scene.addModel();
    model.addAtoms(toAtoms(viewer, viewer.frames[0]));
    model.setCoordinates(
      viewer.frames.map(function (frame) {
        const rows = [];
        for (let i = 0; i < frame.length; i += 3) rows.push([frame[i] / 100, frame[i + 1] / 100, frame[i + 2] / 100]);
        return rows;
      }),
      "array"
    );
    const large = viewer.atoms.length > 400;
    scene.setStyle({}, large ? { stick: { radius: 0.12 } } : { stick: { radius: 0.13 }, sphere: { scale: 0.24 } });
    if (large) scene.setStyle({ elem: "H" }, {});
    scene.zoomTo();
    scene.render();
    animate(scene, viewer);
  }

  function animate(scene, viewer) {
    const slider = document.getElementById("frame");
    const button = document.getElementById("play");
    const label = document.getElementById("frame-label");
    let timer = null;

    function show(index) {
      slider.value = index;
      const ps = viewer.times_ps[index];
      label.textContent = ps < 1000 ? ps.toPrecision(4) + " ps" : (ps / 1000).toPrecision(4) + " ns";
      Promise.resolve(scene.setFrame(index)).then(function () { scene.render(); });
    }
    function toggle() {
      const playing = timer === null;
      button.textContent = playing ? "Pause" : "Play";
      button.setAttribute("aria-pressed", String(playing));
      if (!playing) {
        window.clearInterval(timer);
        timer = null;
        return;
      }
      timer = window.setInterval(function () { show((Number(slider.value) + 1) % viewer.frames.length); }, 120);
    }
    slider.addEventListener("input", function () { show(Number(slider.value)); });
    button.addEventListener("click", toggle);
    new ResizeObserver(function () { scene.resize(); }).observe(document.getElementById("viewer"));
    show(0);
  }

  data.figures.forEach(drawFigure);
  if (data.viewer) drawMolecule(data.viewer);
  document.documentElement.dataset.ready = "true";
})();
