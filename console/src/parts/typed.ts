// A field whose text stands elsewhere too: in the address.
import { useEffect, useRef, useState } from "preact/hooks";

/**
 * What is typed, what types, and what tells it at once. `tell` hears of it when it rests for `pause`
 * milliseconds; where `text` changes by other means, as by Back, that is what the field has.
 */
export function useTyped(text: string, pause: number, tell: (text: string) => void): [typed: string, type: (text: string) => void, tellNow: () => void] {
  const [typed, type] = useState(text);
  const told = useRef(text);
  const latest = useRef(tell);
  latest.current = tell;
  const tellNow = () => {
    if (typed === told.current) return;
    told.current = typed;
    latest.current(typed);
  };
  useEffect(() => {
    // What comes back is what was told from here: more may have been typed since.
    if (text !== told.current) type(text);
    told.current = text;
  }, [text]);
  useEffect(() => {
    if (typed === told.current) return;
    const timer = setTimeout(tellNow, pause);
    return () => clearTimeout(timer);
  }, [typed]);
  return [typed, type, tellNow];
}
