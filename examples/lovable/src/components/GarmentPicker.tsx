import { useEffect, useState } from 'react';
import { VtonError, type Garment } from 'vton-client';
import { Problem } from '@/components/Problem';
import { vton } from '@/lib/vton';
import { words } from '@/lib/words';

export function GarmentPicker({ chosen, onChoose }: { chosen: Garment | null; onChoose: (garment: Garment) => void }) {
  const [garments, setGarments] = useState<Garment[]>([]);
  const [error, setError] = useState<VtonError | null>(null);
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    setError(null);
    vton
      .listGarments({ signal: stop.signal })
      .then(({ items }) => setGarments(items))
      .catch((problem) => problem instanceof VtonError && setError(problem));
    return () => stop.abort();
  }, [attempt]);

  return (
    <fieldset className="space-y-3">
      <legend className="text-xl">{words.garments}</legend>
      {error && <Problem error={error} onAgain={() => setAttempt(attempt + 1)} />}
      <div className="grid grid-cols-2 gap-3 sm:grid-cols-4">
        {garments.map((garment) => (
          <label key={garment.id} className="card cursor-pointer has-[:checked]:ring-2 has-[:checked]:ring-stone-900">
            <input
              type="radio"
              name="garment"
              className="sr-only"
              checked={chosen?.id === garment.id}
              onChange={() => onChoose(garment)}
            />
            <img src={garment.thumbnailUrl ?? garment.imageUrl ?? ''} alt="" loading="lazy" className="aspect-[4/5] w-full object-contain" />
            <span className="block font-semibold">{garment.name}</span>
            <span className="text-sm text-stone-600">{garment.brand}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
