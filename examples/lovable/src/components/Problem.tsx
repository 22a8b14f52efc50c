import type { VtonError } from 'vton-client';
import { words } from '@/lib/words';

/** What went wrong and what to do: message and hint are the backend's, for the shopper. */
export function Problem({ error, onAgain }: { error: VtonError; onAgain?: () => void }) {
  return (
    <div role="alert" className="card space-y-2 border-red-300 bg-red-50">
      <p className="font-semibold text-red-800">{error.message}</p>
      <p>{error.hint}</p>
      {error.retryable && onAgain && (
        <button className="button" onClick={onAgain}>
          {words.again}
        </button>
      )}
    </div>
  );
}
