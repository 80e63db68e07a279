// What is odd in a definition.
export interface Found {
  rule: string;
  level: "note" | "warn" | "quarantine";
  what: string;
  where: string;
  excerpt: string;
}

const KINDS = { note: "", warn: "warn", quarantine: "bad" };

export function Findings({ found }: { found: Found[] }) {
  if (!found.length) return null;
  return (
    <ul class="findings">
      {found.map((finding) => (
        <li key={`${finding.rule} ${finding.where} ${finding.what}`}>
          <span class={`badge ${KINDS[finding.level]}`}>{finding.level}</span> {finding.what} <code>{finding.where || "/"}</code>
          {finding.excerpt && (
            <>
              : <q>{finding.excerpt}</q>
            </>
          )}{" "}
          <span class="small">({finding.rule})</span>
        </li>
      ))}
    </ul>
  );
}
