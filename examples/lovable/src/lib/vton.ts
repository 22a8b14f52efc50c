import { isAuthRetryableFetchError } from '@supabase/supabase-js';
import { createClient } from 'vton-client';
import { supabase } from '@/integrations/supabase/client';
import { language } from '@/lib/words';

/** The access token; with `renew` a new one, since the backend does not take the old one any more. */
export async function getAuthToken({ renew = false } = {}) {
  const asked = renew ? supabase.auth.refreshSession() : supabase.auth.getSession();
  const { data, error } = await asked;
  if (error && isAuthRetryableFetchError(error)) throw error; // away for a moment, not signed out
  return data.session?.access_token ?? null;
}

export const vton = createClient({
  baseUrl: import.meta.env.VITE_BACKEND_URL,
  getToken: getAuthToken,
  language,
});
