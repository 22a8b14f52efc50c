import { useCallback, useEffect, useState } from 'react';
import type { Garment, Photo } from 'vton-client';
import { Fitting } from '@/components/Fitting';
import { GarmentPicker } from '@/components/GarmentPicker';
import { History } from '@/components/History';
import { PhotoPicker } from '@/components/PhotoPicker';
import { SignIn } from '@/components/SignIn';
import { useSession } from '@/hooks/useSession';
import { useTryOn } from '@/hooks/useTryOn';
import { supabase } from '@/integrations/supabase/client';
import { words } from '@/lib/words';

export function App() {
  const session = useSession();
  return (
    <main className="mx-auto max-w-4xl space-y-8 p-4 text-stone-900">
      <header className="flex flex-wrap items-center justify-between gap-3">
        <h1 className="text-3xl">{words.title}</h1>
        {session && (
          <button className="button" onClick={() => supabase.auth.signOut({ scope: 'local' })}>
            {words.signOut}
          </button>
        )}
      </header>
      {session === null && <p>{words.lead}</p>}
      {session === null && <SignIn />}
      {session && <FittingRoom key={session.user.id} />}
    </main>
  );
}

function FittingRoom() {
  const [photo, setPhoto] = useState<Photo | null>(null);
  const [garment, setGarment] = useState<Garment | null>(null);
  const [missing, setMissing] = useState(false);
  const [ended, setEnded] = useState(0);
  const onEnd = useCallback(() => setEnded((count) => count + 1), []);
  const { stage, start, resume, cancel, clear } = useTryOn(onEnd);
  const busy = stage.at === 'sending' || stage.at === 'waiting';

  useEffect(() => {
    resume().catch(console.error);
  }, [resume]);

  function tryOn() {
    setMissing(!photo || !garment);
    if (photo && garment) void start(photo, garment.id);
  }

  return (
    <>
      <Fitting
        stage={stage}
        garmentName={garment?.name ?? ''}
        onCancel={() => void cancel()}
        onAgain={tryOn}
        onNext={(sessionId) => {
          setPhoto({ photoOf: sessionId });
          clear();
        }}
      />
      <PhotoPicker photo={photo} onChoose={setPhoto} />
      <GarmentPicker chosen={garment} onChoose={setGarment} />
      {missing && <p role="alert">{words.missing}</p>}
      <button className="button-primary w-full" disabled={busy} onClick={tryOn}>
        {words.tryOn}
      </button>
      <History version={ended} />
    </>
  );
}
