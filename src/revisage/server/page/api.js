// The HTTP API as the page uses it.

import { has, say } from "./words.js";

const TOKEN = "revisage-token";

/** What the server, or the lack of one, says is wrong; `message` is for people. */
export class Problem extends Error {
  constructor(status, code, message, retryAfter = null) {
    super(message);
    Object.assign(this, { status, code, retryAfter });
  }
}

export function setToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

export const hasToken = () => sessionStorage.getItem(TOKEN) !== null;

async function call(method, path, { body, query, signal, keepalive } = {}) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const pairs = Object.entries(query ?? {}).flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
  const address = pairs.length ? `${path}?${new URLSearchParams(pairs)}` : path;
  let answer;
  try {
    answer = await fetch(address, { method, headers, body, signal, keepalive, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "no-answer", say("error.no-answer"));
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({ code: "http", detail: `the server answers ${answer.status}` }));
  const retry = Number(answer.headers.get("Retry-After")) || null;
  throw told({ ...problem, status: answer.status }, retry);
}

let most = 0; // million pixels that the server takes

/** What the server says, in words of the page where it has some. */
export function told({ status, code, detail }, retry) {
  return new Problem(status, code, sentence(has(`error.${code}`) ? say(`error.${code}`, { most, detail }) : detail), retry);
}

export function sentence(text) {
  const start = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?。]$/.test(start) ? start : `${start}.`;
}

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

/** Try again while the queue is full, telling `waiting` so. */
async function patiently(send, waiting, signal) {
  for (;;) {
    try {
      return await send();
    } catch (problem) {
      if (problem.status !== 429 || signal.aborted) throw problem;
      waiting?.();
      await pause(problem.retryAfter ?? 5);
    }
  }
}

const json = async (...request) => (await call(...request)).json();

export async function aboutServer() {
  const server = await json("GET", "v1/server");
  most = Math.floor(server.max_pixels / 1e6);
  return server;
}

/** Until the server answers again. */
export async function back() {
  for (;;) {
    await pause(2);
    try {
      return await call("GET", "readyz");
    } catch {
      // it is still starting
    }
  }
}

export const status = (id) => json("GET", `v1/jobs/${id}`);

export const submit = (file, options, waiting, signal) =>
  patiently(() => json("POST", "v1/jobs", { body: file, query: { ...options, name: file.name } }), waiting, signal);

export const again = (id, { mask, ...query }, waiting, signal) =>
  patiently(() => json("POST", `v1/jobs/${id}/again`, { query, body: mask && bytes(mask) }), waiting, signal);

const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

/** The steps of a job as they happen: {name, data}. Comes back by itself when the connection breaks. */
export async function* events(id, signal) {
  for (let failures = 0; failures < 20; failures += 1) {
    try {
      const answer = await call("GET", `v1/jobs/${id}/events`, { signal });
      for await (const event of parsed(answer.body)) {
        failures = 0;
        yield event;
        if (["done", "failed", "poisoned", "erased"].includes(event.name)) return;
      }
    } catch (problem) {
      if (problem.name === "AbortError" || problem.status === 404 || problem.status === 401) throw problem;
      if (failures === 19) throw problem;
    }
    await pause(1);
  }
}

async function* parsed(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    let end;
    while ((end = text.indexOf("\n\n")) >= 0) {
      const lines = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      const field = (name) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      if (field("event")) yield { name: field("event"), data: JSON.parse(field("data")) };
    }
  }
}

export const report = async (id, signal) => (await json("GET", `v1/jobs/${id}/report`, { signal })).photos[0];

export const preview = async (id, which, signal) => (await call("GET", `v1/jobs/${id}/previews/${which}`, { signal })).blob();

/** The restored file: {blob, name}. */
export async function result(id, signal) {
  const answer = await call("GET", `v1/jobs/${id}/result`, { signal });
  const name = /filename\*=UTF-8''([^;]+)/.exec(answer.headers.get("Content-Disposition"))?.[1];
  return { blob: await answer.blob(), name: name ? decodeURIComponent(name) : "restored" };
}

/** Where all results of these jobs are as one ZIP file. */
export const archive = (ids) => `v1/archive?${new URLSearchParams(ids.map((id) => ["job", id]))}`;

/** The same file: {blob, name}. */
export async function fetchArchive(ids) {
  return { blob: await (await call("GET", archive(ids))).blob(), name: "revisage.zip" };
}

/** Also where the page is being closed. */
export async function erase(id) {
  try {
    await call("DELETE", `v1/jobs/${id}`, { keepalive: true });
  } catch (problem) {
    if (problem.status !== 404) throw problem; // it is gone already
  }
}
