// A client with the types of openapi.yaml: paths, parameters, bodies and answers are checked by the compiler.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

export type Schemas = components["schemas"];

/** What a server refused, and why. */
export class Refused extends Error {
  constructor(readonly problem: Schemas["Problem"]) {
    super(`${problem.status} ${problem.code}: ${problem.detail}`);
  }
}

export function connect(baseUrl: string, key?: string) {
  const headers = key === undefined ? {} : { Authorization: `Bearer ${key}` };
  return createClient<paths>({ baseUrl, headers, bodySerializer: serialized });
}

/** A Blob is sent as it is, an object with a Blob in it as a form, anything else as JSON. */
function serialized(body: unknown): BodyInit {
  if (body instanceof Blob) return body;
  const fields = Object.entries(body as object).filter(([, value]) => value !== undefined);
  if (!fields.some(([, value]) => value instanceof Blob)) return JSON.stringify(body);
  const form = new FormData();
  for (const [name, value] of fields) {
    const isText = value instanceof Blob || typeof value === "string";
    form.append(name, isText ? value : JSON.stringify(value));
  }
  return form;
}

/** A file as the whole body of a request. */
export function raw(file: Blob) {
  return { body: file, headers: { "Content-Type": file.type || "application/octet-stream" } };
}

/** The data of an answer; throws what was refused. */
export async function ok<T>(answer: Promise<{ data?: T; error?: Schemas["Problem"] }>): Promise<T> {
  const { data, error } = await answer;
  if (error !== undefined) throw new Refused(error);
  return data as T;
}
