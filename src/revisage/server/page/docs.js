// The routes of openapi.json as a page.

const answer = await fetch("openapi.json");
const api = await answer.json();

function make(name, text = "", className = "") {
  const element = document.createElement(name);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  const values = schema.enum?.join(", ");
  return values ?? [schema.type, schema.minimum !== undefined ? `${schema.minimum} to ${schema.maximum}` : ""].join(" ").trim();
}

function table(heads, rows) {
  const table = make("table");
  const head = table.createTHead().insertRow();
  for (const text of heads) head.append(make("th", text));
  const body = table.createTBody();
  for (const cells of rows) {
    const row = body.insertRow();
    cells.forEach((text, n) => row.insertCell().append(n === 0 ? make("code", text) : text));
  }
  return table;
}

function route(method, path, operation) {
  const article = make("article");
  const details = article.appendChild(make("details"));
  const summary = details.appendChild(make("summary"));
  const [first, ...rest] = (operation.description ?? "").split("\n\n");
  summary.append(make("span", method.toUpperCase(), "method"), make("code", path), make("span", first));
  const body = details.appendChild(make("div", "", "body"));
  for (const text of rest) body.append(make("p", text));
  const parameters = (operation.parameters ?? []).filter(({ in: place }) => place === "query");
  if (operation.requestBody) body.append(make("p", `Body: ${operation.requestBody.description}.`));
  if (parameters.length) {
    const rows = parameters.map(({ name, schema, description }) => [name, typeOf(schema), String(schema.default ?? ""), description ?? ""]);
    body.append(table(["parameter", "value", "default", ""], rows));
  }
  const rows = Object.entries(operation.responses).map(([status, { description }]) => [status, description]);
  body.append(make("p"), table(["answer", ""], rows));
  return article;
}

const groups = { restore: "Restore", jobs: "Jobs", server: "Server" };
for (const [tag, title] of Object.entries(groups)) {
  document.getElementById("routes").append(make("h2", title));
  for (const [path, operations] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      if (operation.tags?.[0] === tag) document.getElementById("routes").append(route(method, path, operation));
    }
  }
}
document.getElementById("example").textContent =
  `curl --data-binary @grandmother.jpg "${location.origin}/v1/restore?strength=0.8" -o grandmother.restored.jpg`;
