import { useCallback, useEffect, useRef, useState } from 'react';
import { VtonError, type Photo, type SessionStatus, type Success, type TryOn, type WaitOptions } from 'vton-client';
import { vton } from '@/lib/vton';

export type Stage =
  | { at: 'idle' }
  | { at: 'sending'; fraction: number }
  | { at: 'waiting'; status: 'queued' | 'processing'; etaSeconds: number | null }
  | { at: 'success'; result: Success }
  | { at: 'failed'; error: VtonError };

/** One try-on: sent, followed to its end, cancelled, found again after a reload. */
export function useTryOn(onEnd: () => void) {
  const [stage, setStage] = useState<Stage>({ at: 'idle' });
  const run = useRef<TryOn | null>(null);
  const leaving = useRef(new AbortController());
  useEffect(() => {
    leaving.current = new AbortController();
    return () => leaving.current.abort(); // stops the polling, not the try-on
  }, []);

  const follow = useCallback(
    async (begin: (options: WaitOptions) => TryOn) => {
      const { signal } = leaving.current;
      const onUpdate = ({ status, etaSeconds }: SessionStatus) => {
        if (status === 'queued' || status === 'processing') setStage({ at: 'waiting', status, etaSeconds });
      };
      try {
        run.current = begin({ signal, onUpdate });
        setStage({ at: 'success', result: await run.current });
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof VtonError)) throw error;
        setStage(error.code === 'cancelled' ? { at: 'idle' } : { at: 'failed', error });
      }
      onEnd();
    },
    [onEnd],
  );

  const start = useCallback(
    (photo: Photo, garmentId: string) => {
      setStage({ at: 'sending', fraction: 0 });
      return follow((options) =>
        vton.tryOn(photo, garmentId, {
          ...options,
          onUploadProgress: ({ fraction }) => setStage({ at: 'sending', fraction }),
          onStatus: (status) => {
            if (status === 'queued') setStage({ at: 'waiting', status, etaSeconds: null });
          },
        }),
      );
    },
    [follow],
  );

  /** Take up what a reload, or another device, has left under way. */
  const resume = useCallback(async () => {
    const [left] = await vton.unfinished();
    if (left) await follow((options) => vton.resume(left.sessionId, options));
  }, [follow]);

  const cancel = useCallback(async () => run.current?.cancel(), []);
  const clear = useCallback(() => setStage({ at: 'idle' }), []);
  return { stage, start, resume, cancel, clear };
}
