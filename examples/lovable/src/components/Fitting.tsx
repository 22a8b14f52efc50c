import { Problem } from '@/components/Problem';
import type { Stage } from '@/hooks/useTryOn';
import { words } from '@/lib/words';

interface Props {
  stage: Stage;
  garmentName: string;
  onCancel: () => void;
  onAgain: () => void;
  onNext: (sessionId: string) => void;
}

/** What the try-on is doing, and what came of it. */
export function Fitting({ stage, garmentName, onCancel, onAgain, onNext }: Props) {
  if (stage.at === 'idle') return null;
  if (stage.at === 'failed') {
    return (
      <section className="space-y-3">
        <h2 className="text-2xl">{words.failed}</h2>
        <Problem error={stage.error} onAgain={onAgain} />
      </section>
    );
  }
  if (stage.at === 'success') {
    return (
      <section className="space-y-3">
        <h2 className="text-2xl">{words.success}</h2>
        <img
          src={stage.result.resultImageUrl}
          alt={words.result.replace('{name}', garmentName)}
          className="max-h-[80vh] rounded-2xl"
        />
        <p className="text-sm text-stone-600">{words.ai}</p>
        <button className="button" onClick={() => onNext(stage.result.sessionId)}>
          {words.next}
        </button>
      </section>
    );
  }
  const eta = stage.at === 'waiting' ? stage.etaSeconds : null;
  return (
    <section className="card space-y-3">
      <p role="status">
        {stage.at === 'sending' ? words.sending : words[stage.status]}{' '}
        {eta !== null && words.left.replace('{seconds}', String(eta))}
      </p>
      {stage.at === 'sending' && <progress max={1} value={stage.fraction} aria-label={words.sending} className="w-full" />}
      <button className="button" onClick={onCancel}>
        {words.cancel}
      </button>
    </section>
  );
}
