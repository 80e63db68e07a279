// A server more, over HTTP: what starts a command or names a file is for the configuration alone.
import { useState } from "preact/hooks";
import { Dialog } from "../../parts/dialog";
import { act, type Said } from "./act";

/** `added` hears of the id of each. */
export function AddServer({ added }: { added: (id: string) => void }) {
  const [isOpen, setIsOpen] = useState(false);
  const [said, setSaid] = useState<Said>();
  const add = async (form: HTMLFormElement) => {
    const entry = Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
    const said = await act("POST", "/v1/admin/servers", entry, () => "");
    setSaid(said);
    if (said.isBad) return;
    setIsOpen(false);
    added(String(entry["id"]));
  };
  return (
    <>
      <button type="button" onClick={() => setIsOpen(true)}>
        Add a server
      </button>
      {isOpen && (
        <Dialog title="Add a server" close={() => setIsOpen(false)}>
          <form
            class="add-server"
            onSubmit={(event) => {
              event.preventDefault();
              add(event.currentTarget);
            }}
          >
            <p class="small">One that is reached over HTTP. Servers that are commands are added where toolscout runs.</p>
            <label for="add-id">Id</label>
            <input id="add-id" name="id" required autocomplete="off" spellcheck={false} />
            <label for="add-url">Address</label>
            <input id="add-url" name="url" type="url" required placeholder="https://…/mcp" autocomplete="off" />
            <label for="add-token">Bearer token, if it wants one</label>
            <input id="add-token" name="bearer_token" type="password" autocomplete="off" />
            {said?.isBad && (
              <p class="failure" role="alert">
                {said.text}
              </p>
            )}
            <div class="row">
              <button type="submit">Add</button>
              <button type="button" onClick={() => setIsOpen(false)}>
                Cancel
              </button>
            </div>
          </form>
        </Dialog>
      )}
    </>
  );
}
