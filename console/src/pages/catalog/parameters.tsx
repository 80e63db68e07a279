// What a tool takes, as a table.
import type { ComponentChildren } from "preact";
import { Heads } from "../../parts/heads";

interface Schema {
  type?: string | string[];
  description?: string;
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: unknown;
  $ref?: string;
  anyOf?: Schema[];
  oneOf?: Schema[];
}

interface Props {
  schema: object | undefined;
  /** How names and descriptions are shown; without it as they are. */
  mark?: (text: string) => ComponentChildren;
}

export function Parameters({ schema, mark = (text) => text }: Props) {
  const { properties, required } = (schema ?? {}) as Schema;
  const all = Object.entries(properties && typeof properties === "object" ? properties : {});
  const needed = new Set(Array.isArray(required) ? required : []);
  if (!all.length) return <p class="small">It takes none.</p>;
  return (
    <table>
      <Heads columns={["Name", "Type", "What it is"]} />
      <tbody>
        {all.map(([name, of]) => (
          <tr key={name}>
            <td>
              <code>{mark(name)}</code>
              {needed.has(name) && <div class="small">required</div>}
            </td>
            <td class="small">{kind(of)}</td>
            <td>
              {typeof of?.description === "string" && mark(of.description)}
              {of?.default !== undefined && <div class="small">without it {JSON.stringify(of.default)}</div>}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Of a schema in a few words; it may be anything. */
function kind(schema: Schema | undefined): string {
  if (typeof schema !== "object" || schema === null) return "anything";
  if (Array.isArray(schema.enum)) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const either = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(either)) return either.map(kind).join(" | ");
  if (schema.type === "array") return `list of ${kind(schema.items)}`;
  if (schema.type !== undefined) return [schema.type].flat().join(" | ");
  return typeof schema.$ref === "string" ? (schema.$ref.split("/").pop() ?? "object") : schema.properties ? "object" : "anything";
}
