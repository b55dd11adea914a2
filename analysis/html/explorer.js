"use strict";
// Tables that are sorted, filtered, leafed through and saved, from the inert JSON beside them.
// Texts of the study only ever become text: textContent, values of inputs, quoted cells of a CSV.
(() => {
  const make = (tag, given = {}, ...inner) => {
    const made = Object.assign(document.createElement(tag), given);
    made.append(...inner);
    return made;
  };

  // As analysis.data.labels.number writes it: Python rounds what lies in the very middle to the even digit, toFixed does not.
  const fixed = (x, decimals) => {
    const scaled = Math.abs(x) * 10 ** decimals;
    if (scaled % 1 !== 0.5 || !Number.isInteger(x * 2 ** (decimals + 1))) return x.toFixed(decimals);
    const even = 2 * Math.round(scaled / 2);
    return ((Math.sign(x) * even) / 10 ** decimals).toFixed(decimals);
  };
  const number = (x, decimals) => {
    const text = Math.abs(x) < 1e6 ? fixed(x, decimals) : x.toPrecision(3).replace(/e([+-])(\d)$/, "e$10$2");
    return Number(text) === 0 ? text.replace("-", "") : text.replaceAll("-", "−");
  };
  const measured = (cell, decimals) => {
    if (cell === null) return "–";
    const [mean, half] = Array.isArray(cell) ? cell : [cell, null];
    return number(mean, decimals) + (half === null ? "" : ` ± ${number(half, decimals)}`);
  };
  const text = (column, row) =>
    column.texts ? column.texts[column.cells[row]] : measured(column.cells[row], column.decimals);
  const value = (column, row) => {
    const cell = column.cells[row];
    return column.texts ? column.values[cell] : Array.isArray(cell) ? cell[0] : cell;
  };

  // ">0.5", "<= 3", "=4" and "1..4" compare numbers; anything else is looked for in the text of the cell.
  const comparison = (wanted) => {
    const range = wanted.match(/^(-?[\d.]+(?:e-?\d+)?)\.\.(-?[\d.]+(?:e-?\d+)?)$/i);
    if (range) return (x) => x >= Number(range[1]) && x <= Number(range[2]);
    const sided = wanted.match(/^([<>]=?|=)\s*([-−]?[\d.]+(?:e-?\d+)?)$/i);
    if (!sided) return null;
    const end = Number(sided[2].replace("−", "-"));
    const tests = {
      "<": (x) => x < end, "<=": (x) => x <= end, ">": (x) => x > end, ">=": (x) => x >= end, "=": (x) => x === end,
    };
    return tests[sided[1]];
  };
  const filter = (column, wanted) => {
    const compare = comparison(wanted);
    if (compare) {
      return (row) => typeof value(column, row) === "number" && compare(value(column, row));
    }
    const lower = wanted.toLowerCase();
    return (row) => text(column, row).toLowerCase().includes(lower);
  };

  // A spreadsheet runs a cell that begins like a formula, whatever its quotes; an apostrophe makes it text.
  const quoted = (cell) => {
    if (cell === null || cell === undefined) return "";
    if (typeof cell === "number") return String(cell);
    const inert = /^[\s\u0000-\u001f]*[=+\-@\t\r＝＋－＠]/.test(cell) ? `'${cell}` : cell;
    return `"${inert.replaceAll('"', '""')}"`;
  };
  const csv = (columns, rows) => {
    const heads = columns.flatMap((c) => (c.ends ? [c.key, `${c.key}_half_width`] : [c.key]));
    const cells = (row) => columns.flatMap((c) => {
      const half = Array.isArray(c.cells[row]) ? c.cells[row][1] : null;
      return c.ends ? [value(c, row), half] : [value(c, row)];
    });
    return [heads, ...rows.map(cells)].map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
  };

  const explore = (source) => {
    const { columns, marks, page, wide } = JSON.parse(source.textContent);
    const box = source.parentElement;
    const [table, headRow, body] = ["table", "thead tr", "tbody"].map((what) => box.querySelector(what));
    const every = Array.from(columns[0].cells, (_, row) => row);
    const wanted = columns.map(() => "");
    let [anywhere, sorted, down, first, rows] = ["", -1, false, 0, every];

    const search = make("input", { type: "search", placeholder: "any column" });
    const said = make("p", { className: "said" });
    said.setAttribute("role", "status");
    const before = make("button", { type: "button", textContent: "Previous" });
    const after = make("button", { type: "button", textContent: "Next" });
    const save = make("button", { type: "button", textContent: "Save these rows as CSV" });
    box.prepend(make("div", { className: "tools" }, make("label", {}, "Search ", search), save));
    box.append(make("div", { className: "tools" }, said, ...(every.length > page ? [before, after] : [])));

    const order = (a, b) => {
      const [x, y] = [value(columns[sorted], a), value(columns[sorted], b)];
      if (x === null || y === null) return (x === null) - (y === null) || a - b;
      const numbers = typeof x === "number" && typeof y === "number";
      const by = numbers ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
      return (down ? -by : by) || a - b;
    };
    const choose = () => {
      const tests = columns.flatMap((column, i) => (wanted[i] ? [filter(column, wanted[i])] : []));
      if (anywhere) {
        const each = columns.map((column) => filter(column, anywhere));
        tests.push((row) => each.some((test) => test(row)));
      }
      rows = every.filter((row) => tests.every((test) => test(row)));
      if (sorted >= 0) rows.sort(order);
      first = 0;
      show();
    };
    const line = (row) => {
      const cells = columns.map((c, i) => make("td", { textContent: text(c, row), className: i < wide ? "t" : "" }));
      return make("tr", { className: marks[row] ?? "" }, ...cells);
    };
    const show = () => {
      body.replaceChildren(...rows.slice(first, first + page).map(line));
      const last = Math.min(first + page, rows.length);
      const of = rows.length < every.length ? ` (of ${every.length.toLocaleString("en")})` : "";
      const count = rows.length.toLocaleString("en");
      said.textContent = rows.length ? `Rows ${first + 1} to ${last} of ${count}${of}` : `No row of ${every.length}`;
      // A button that is disabled while it has the focus loses it: it stays, and does nothing.
      before.setAttribute("aria-disabled", String(first === 0));
      after.setAttribute("aria-disabled", String(last >= rows.length));
    };
    const turn = (by) => {
      if (first + by < 0 || first + by >= rows.length) return;
      first += by;
      show();
    };
    const sort = (i) => {
      [sorted, down] = sorted !== i ? [i, false] : down ? [-1, false] : [i, true];
      Array.from(headRow.children, (th, k) => {
        if (k === sorted) th.setAttribute("aria-sort", down ? "descending" : "ascending");
        else th.removeAttribute("aria-sort");
      });
      choose();
    };

    const filters = make("tr", { className: "filters" });
    columns.forEach((column, i) => {
      const th = headRow.children[i];
      th.replaceChildren(make("button", { type: "button", textContent: column.head, onclick: () => sort(i) }));
      const input = make("input", { type: "text", oninput: () => { wanted[i] = input.value.trim(); choose(); } });
      input.setAttribute("aria-label", `Filter ${column.head}`);
      filters.append(make("td", {}, input));
    });
    table.tHead.append(filters);
    search.oninput = () => { anywhere = search.value.trim(); choose(); };
    before.onclick = () => turn(-page);
    after.onclick = () => turn(page);
    save.onclick = () => {
      const address = URL.createObjectURL(new Blob(["\ufeff", csv(columns, rows)], { type: "text/csv" }));
      make("a", { href: address, download: `${box.id}.csv` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 1000);
    };
    show();
  };
  document.querySelectorAll("script[data-table]").forEach(explore);
})();
