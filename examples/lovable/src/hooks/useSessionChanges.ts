import { useEffect } from 'react';
import type { SessionStatus } from 'vton-client';
import { supabase } from '@/integrations/supabase/client';
import { vton } from '@/lib/vton';

/** Hear of changes as they happen. A row has paths, not URLs: one status call gets those. */
export function useSessionChanges(userId: string, onChange: (session: SessionStatus) => void) {
  useEffect(() => {
    const channel = supabase
      .channel(`try-ons-of-${userId}`)
      .on(
        'postgres_changes',
        { event: 'UPDATE', schema: 'public', table: 'try_on_history', filter: `user_id=eq.${userId}` },
        ({ new: row }) => void vton.getStatus(String(row.id)).then(onChange).catch(console.error),
      )
      .subscribe();
    return () => void supabase.removeChannel(channel);
  }, [userId, onChange]);
}
