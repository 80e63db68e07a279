// What is not as it should be, on every page.
import type { Vitals } from "../vitals";

export function Degraded({ vitals }: { vitals: Vitals | undefined }) {
  const troubles = vitals?.troubles ?? [];
  return (
    <div class="degraded" role="status" data-degraded={troubles.length > 0}>
      {troubles.map(({ part, why, servers = [] }) => (
        <p key={part + why}>
          <strong>{part}</strong>: {why}
          {servers.length > 0 && ` (${servers.slice(0, 5).join(", ")}${servers.length > 5 ? ` and ${servers.length - 5} more` : ""})`}
          {part === "servers" && (
            <>
              {" "}
              <a href="/servers">See the servers</a>
            </>
          )}
        </p>
      ))}
    </div>
  );
}
