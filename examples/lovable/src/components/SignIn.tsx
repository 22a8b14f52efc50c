import { useState, type FormEvent } from 'react';
import { supabase } from '@/integrations/supabase/client';
import { words } from '@/lib/words';

export function SignIn() {
  const [message, setMessage] = useState('');

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const [email, password] = [String(form.get('email')), String(form.get('password'))];
    const { submitter } = event.nativeEvent as SubmitEvent;
    const isNew = submitter instanceof HTMLButtonElement && submitter.value === 'new';
    const { data, error } = isNew
      ? await supabase.auth.signUp({ email, password })
      : await supabase.auth.signInWithPassword({ email, password });
    setMessage(error?.message ?? (data.session ? '' : words.confirmEmail));
  }

  return (
    <form onSubmit={submit} className="card mx-auto max-w-sm space-y-3">
      <label className="block">
        {words.email}
        <input name="email" type="email" required autoComplete="username" className="w-full rounded border border-stone-500 p-2" />
      </label>
      <label className="block">
        {words.password}
        <input name="password" type="password" required minLength={6} autoComplete="current-password" className="w-full rounded border border-stone-500 p-2" />
      </label>
      <div className="flex gap-2">
        <button className="button-primary">{words.signIn}</button>
        <button className="button" value="new">{words.signUp}</button>
      </div>
      <p role="alert" className="text-red-800">{message}</p>
    </form>
  );
}
