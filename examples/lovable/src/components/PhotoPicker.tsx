import { useEffect, useState } from 'react';
import type { Photo } from 'vton-client';
import { words } from '@/lib/words';

/** A photo from the device; or the one of the last try-on, which needs no second upload. */
export function PhotoPicker({ photo, onChoose }: { photo: Photo | null; onChoose: (photo: File) => void }) {
  const [url, setUrl] = useState('');
  const [seen, setSeen] = useState(true);
  useEffect(() => {
    setSeen(true);
    if (!(photo instanceof Blob)) return setUrl('');
    const next = URL.createObjectURL(photo);
    setUrl(next);
    return () => URL.revokeObjectURL(next);
  }, [photo]);

  return (
    <section className="space-y-3">
      <h2 className="text-xl">{words.photo}</h2>
      <label className="button cursor-pointer focus-within:outline">
        {words.choosePhoto}
        <input
          type="file"
          accept="image/jpeg,image/png,image/webp,image/heic,image/heif,.heic,.heif"
          className="sr-only"
          onChange={(event) => {
            const [file] = event.target.files ?? [];
            if (file) onChoose(file);
            event.target.value = ''; // so that the same file can be chosen again
          }}
        />
      </label>
      {photo && 'photoOf' in photo && <p>{words.samePhoto}</p>}
      {url && seen && <img src={url} alt={words.photo} onError={() => setSeen(false)} className="max-h-80 rounded-2xl" />}
      {url && !seen && <p>{words.noPreview}</p>}
    </section>
  );
}
