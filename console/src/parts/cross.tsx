// What closes, takes away or forgets something; `label` says what.
export function Cross({ label, press }: { label: string; press: () => void }) {
  return (
    <button type="button" class="quiet" aria-label={label} onClick={press}>
      ✕
    </button>
  );
}
