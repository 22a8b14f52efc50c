import { useEffect, useRef, useState } from 'react';
import { VtonError, type HistoryItem } from 'vton-client';
import { Problem } from '@/components/Problem';
import { vton } from '@/lib/vton';
import { words } from '@/lib/words';

/** Ended try-ons, newest first. `version` changes when there is a new one. */
export function History({ version }: { version: number }) {
  const [items, setItems] = useState<HistoryItem[]>([]);
  const [cursor, setCursor] = useState<string | null>(null);
  const [error, setError] = useState<VtonError | null>(null);
  const [busy, setBusy] = useState(false);
  const renewedAt = useRef(0);

  async function ask(work: Promise<void>) {
    setBusy(true);
    await work.catch((problem) => problem instanceof VtonError && setError(problem));
    setBusy(false);
  }

  /** URLs expire within an hour: then ask for new ones, but once a minute at most. */
  function renew() {
    if (Date.now() - renewedAt.current < 60_000) return;
    renewedAt.current = Date.now();
    void ask(load(null));
  }

  async function load(from: string | null) {
    const page = await vton.listHistory({ limit: 12, cursor: from });
    setError(null);
    setItems((before) => (from ? [...before, ...page.items] : page.items));
    setCursor(page.nextCursor);
  }

  async function remove(sessionId: string) {
    if (!confirm(words.removed)) return;
    await vton.deleteSession(sessionId);
    setItems((before) => before.filter((item) => item.sessionId !== sessionId));
  }

  useEffect(() => {
    void ask(load(null));
  }, [version]);

  return (
    <section className="space-y-3">
      <h2 className="text-xl">{words.history}</h2>
      {error && <Problem error={error} onAgain={() => ask(load(null))} />}
      {items.length === 0 && <p>{words.empty}</p>}
      <ul className="grid grid-cols-2 gap-3 sm:grid-cols-4">
        {items.map((item) => (
          <li key={item.sessionId} className="card space-y-2">
            <img
              src={item.thumbnailUrl ?? item.resultImageUrl ?? item.original_user_image_url ?? ''}
              alt=""
              onError={renew}
              className="aspect-[3/4] w-full object-cover"
            />
            <p>{item.garment?.name}</p>
            {item.status === 'failed' && <p className="text-sm text-red-800">{item.error_message}</p>}
            <button className="button" onClick={() => ask(remove(item.sessionId))}>
              {words.remove}
            </button>
          </li>
        ))}
      </ul>
      {cursor && (
        <button className="button" disabled={busy} onClick={() => ask(load(cursor))}>
          {words.more}
        </button>
      )}
    </section>
  );
}
