import { createClient } from 'vton-client';
import { supabase } from '@/integrations/supabase/client';
import { language } from '@/lib/words';

/** The access token; with `renew` a new one, since the backend does not take the old one any more. */
export async function getAuthToken({ renew = false } = {}) {
  const { data } = renew ? await supabase.auth.refreshSession() : await supabase.auth.getSession();
  return data.session?.access_token ?? null;
}

export const vton = createClient({
  baseUrl: import.meta.env.VITE_BACKEND_URL,
  getToken: getAuthToken,
  language,
});
