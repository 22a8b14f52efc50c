import { useCallback, useEffect, useRef, useState } from 'react';
import { VtonError, type Photo, type SessionStatus, type Success, type TryOn, type WaitOptions } from 'vton-client';
import { supabase } from '@/integrations/supabase/client';
import { vton } from '@/lib/vton';

export type Stage =
  | { at: 'idle' }
  | { at: 'sending'; fraction: number }
  | { at: 'waiting'; status: 'queued' | 'processing'; etaSeconds: number | null }
  | { at: 'success'; result: Success }
  | { at: 'failed'; error: VtonError };

type Begin = (options: WaitOptions) => TryOn;

const asProblem = (error: unknown) =>
  error instanceof VtonError ? error : new VtonError(String(error), { cause: error });

/** One try-on: sent, followed to its end, cancelled, found again after a reload. */
export function useTryOn(onEnd: () => void) {
  const [stage, setStage] = useState<Stage>({ at: 'idle' });
  const [garmentName, setGarmentName] = useState('');
  const run = useRef<TryOn | null>(null);
  const last = useRef<Begin | null>(null);
  const leaving = useRef(new AbortController());
  useEffect(() => {
    leaving.current = new AbortController();
    return () => leaving.current.abort(); // stops the polling, not the try-on
  }, []);

  const follow = useCallback(
    async (begin: Begin) => {
      const { signal } = leaving.current;
      const onUpdate = ({ status, etaSeconds }: SessionStatus) => {
        if (status === 'queued' || status === 'processing') setStage({ at: 'waiting', status, etaSeconds });
      };
      last.current = begin;
      const mine = (run.current = begin({ signal, onUpdate }));
      try {
        setStage({ at: 'success', result: await mine });
      } catch (error) {
        if (signal.aborted || run.current !== mine) return;
        const problem = asProblem(error);
        if (problem.status === 401) void supabase.auth.signOut({ scope: 'local' });
        setStage(problem.code === 'cancelled' ? { at: 'idle' } : { at: 'failed', error: problem });
      }
      onEnd();
    },
    [onEnd],
  );

  const start = useCallback(
    (photo: Photo, garment: { id: string; name: string }) => {
      setGarmentName(garment.name);
      setStage({ at: 'sending', fraction: 0 });
      return follow((options) =>
        vton.tryOn(photo, garment.id, {
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

  /** The same once more: what was accepted is followed again, what has ended begins anew. */
  const again = useCallback(async () => last.current && follow(last.current), [follow]);

  /** Take up what a reload, or another device, has left under way. */
  const resume = useCallback(async () => {
    const { signal } = leaving.current;
    const [left] = await vton.unfinished({ signal });
    if (!left || signal.aborted || run.current) return;
    setGarmentName(left.garment?.name ?? '');
    await follow((options) => vton.resume(left.sessionId, options));
  }, [follow]);

  const cancel = useCallback(async () => {
    try {
      await run.current?.cancel();
    } catch (error) {
      setStage({ at: 'failed', error: asProblem(error) });
    }
  }, []);
  const clear = useCallback(() => setStage({ at: 'idle' }), []);
  return { stage, garmentName, start, again, resume, cancel, clear };
}
