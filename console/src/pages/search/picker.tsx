// A tool is picked: by its name, which is searched for, or by its id.
import { useEffect, useState } from "preact/hooks";
import { Cross } from "../../parts/cross";
import { useAnswer } from "./answer";
import { searchPath } from "./asked";
import { PAUSE } from "./state";

export function Picker({ id, profile, choose }: { id: string; profile: string; choose: (id: string) => void }) {
  const [text, setText] = useState(id);
  const [asked, setAsked] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setAsked(text === id ? "" : text), PAUSE);
    return () => clearTimeout(timer);
  }, [text, id]);
  const words = asked.replaceAll("/", " ");
  const { answer } = useAnswer(searchPath({ q: words, profile, limit: "8", arm: "", read_only: "", destructive: "", open_world: "", token_budget: "", servers: [] }));
  const found = asked ? (answer?.tools ?? []).filter((hit) => hit.id !== id) : [];
  const take = () => {
    const exact = found.find((hit) => hit.name === text.trim() || hit.id === text.trim());
    if (text.trim()) choose(exact?.id ?? (text.includes("/") ? text.trim() : (found[0]?.id ?? text.trim())));
  };
  return (
    <form
      class="picker"
      onSubmit={(event) => {
        event.preventDefault();
        take();
      }}
    >
      <div class="row">
        <input
          class="grow"
          aria-label="The tool, by name or id"
          placeholder="name, or server/name"
          spellcheck={false}
          autocomplete="off"
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <button type="submit">Ask</button>
        {id && (
          <Cross label="Ask about no tool" press={() => choose("")} />
        )}
      </div>
      {found.length > 0 && (
        <ul class="picks" aria-label="Tools of that name">
          {found.map((hit) => (
            <li key={hit.id}>
              <button type="button" onClick={() => choose(hit.id)}>
                {hit.id}
              </button>
            </li>
          ))}
        </ul>
      )}
    </form>
  );
}
