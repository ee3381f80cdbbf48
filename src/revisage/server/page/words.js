// The words of the page in the reader's language: words/*.json.

export const LANGUAGES = { en: "English", de: "Deutsch", fr: "Français", es: "Español", zh: "中文" };
const CHOSEN = "revisage.language";

const wanted = [localStorage.getItem(CHOSEN), ...navigator.languages].filter(Boolean).map((tag) => tag.slice(0, 2));
export const language = wanted.find((tag) => tag in LANGUAGES) ?? "en";
const words = await (await fetch(`page/words/${language}.json`)).json();
const plural = new Intl.PluralRules(language);
document.documentElement.lang = language;

export const has = (key) => key in words;

/** The words of a key; {name} is replaced by its value, and "one|many" chosen by {n}. */
export function say(key, values = {}) {
  const forms = (words[key] ?? key).split("|");
  const form = forms.length > 1 && plural.select(values.n) !== "one" ? forms[1] : forms[0];
  return form.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export function choose(tag) {
  localStorage.setItem(CHOSEN, tag);
  location.reload();
}

export function duration(seconds) {
  if (seconds >= 5400) return say("hours", { n: Math.round(seconds / 3600) });
  return seconds >= 90 ? say("minutes", { n: Math.round(seconds / 60) }) : say("seconds", { n: Math.max(1, Math.round(seconds)) });
}

/** The same for where there is little room. */
export function brief(seconds) {
  const [unit, value] = seconds >= 90 ? ["minute", seconds / 60] : ["second", seconds];
  return `≈ ${new Intl.NumberFormat(language, { style: "unit", unit, maximumFractionDigits: 0 }).format(Math.max(1, value))}`;
}
