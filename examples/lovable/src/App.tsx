import { useCallback, useEffect, useState } from 'react';
import type { Garment, Photo } from 'vton-client';
import { Fitting } from '@/components/Fitting';
import { GarmentPicker } from '@/components/GarmentPicker';
import { History } from '@/components/History';
import { PhotoPicker } from '@/components/PhotoPicker';
import { SignIn } from '@/components/SignIn';
import { useOnline } from '@/hooks/useOnline';
import { useSession } from '@/hooks/useSession';
import { useTryOn } from '@/hooks/useTryOn';
import { supabase } from '@/integrations/supabase/client';
import { words } from '@/lib/words';

export function App() {
  const session = useSession();
  const online = useOnline();
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
      {!online && <p role="status">{words.offline}</p>}
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
  const { stage, garmentName, start, again, resume, cancel, clear } = useTryOn(onEnd);
  const busy = stage.at === 'sending' || stage.at === 'waiting';

  useEffect(() => {
    resume().catch((problem) => problem?.name === 'AbortError' || console.error(problem));
  }, [resume]);

  function tryOn() {
    setMissing(!photo || !garment);
    if (photo && garment) void start(photo, garment);
  }

  return (
    <>
      <Fitting
        stage={stage}
        garmentName={garmentName}
        onCancel={() => void cancel()}
        onAgain={() => void again()}
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
