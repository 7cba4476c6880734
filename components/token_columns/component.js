// Columns of tokens, tinted by their weight.
export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  const largest = Math.max(0, ...data.columns.flatMap((column) => column.tokens.map((token) => Math.abs(token.weight))));
  const columns = data.columns.map((column) => {
    const lines = column.tokens.map((token) => {
      const text = make("span", { className: "text mono", title: JSON.stringify(token.text) }, ...tokenText(token.text));
      text.style.setProperty("--t", shareOf(Math.abs(token.weight), largest).toFixed(3));
      const weight = make("span", { className: "number mono quiet", title: figure(token.weight, 4) }, figure(token.weight, 2));
      return make("div", { className: `line ${token.weight < 0 ? "down" : "up"}` }, text, weight);
    });
    return make("div", {}, make("div", { className: "title" }, column.title), ...lines);
  });
  root.replaceChildren(make("div", { className: "columns" }, ...columns));
}
