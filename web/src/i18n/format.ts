import { language } from "./index.ts";

const tag = (): string => (language.value === "zh" ? "zh-CN" : language.value);

const number = (value: number, options: Intl.NumberFormatOptions = {}): string =>
  new Intl.NumberFormat(tag(), options).format(value);

const unit = (value: number, name: string, digits = 0): string =>
  number(value, { style: "unit", unit: name, unitDisplay: "short", maximumFractionDigits: digits });

export const count = (value: number): string => number(value);

/** 148K, 14.8万. */
export const compact = (value: number): string =>
  number(value, { notation: "compact", maximumSignificantDigits: 3 });

export const percent = (share: number, digits = 0): string =>
  number(share, { style: "percent", maximumFractionDigits: digits });

/** All is said of all only: 99.9 % of something are 99 %. */
export const part = (share: number): string => percent(Math.floor(100 * share) / 100);

export function bytes(value: number): string {
  const names = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  const power = Math.min(Math.floor(Math.log10(Math.max(value, 1)) / 3), names.length - 1);
  const scaled = value / 1000 ** power;
  return unit(scaled, names[power]!, scaled < 10 && power > 0 ? 1 : 0);
}

/** The two largest units, or as many as are wanted: 2 min 5 sec. */
export function duration(seconds: number, numUnits = 2): string {
  if (seconds < 10) return unit(seconds, "second", 1);
  const parts: [number, string][] = [
    [Math.floor(seconds / 86400), "day"],
    [Math.floor(seconds / 3600) % 24, "hour"],
    [Math.floor(seconds / 60) % 60, "minute"],
    [Math.floor(seconds) % 60, "second"],
  ];
  const first = parts.findIndex(([value]) => value > 0);
  const shown = parts.slice(first, first + numUnits).filter(([value]) => value > 0);
  return shown.map(([value, name]) => unit(value, name)).join(" ");
}
