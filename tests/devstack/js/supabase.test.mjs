// The unmodified @supabase/supabase-js against the gateway, as a browser frontend uses it.
// Run by tests/devstack/supabase/test_supabase_js.py, which says where the gateway is.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createClient } from '@supabase/supabase-js'

const { SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, SUPABASE_SECRET_KEY } = process.env
// Node has a WebSocket of its own from version 22 on; nothing here opens one.
const options = {
  auth: { autoRefreshToken: false, persistSession: false },
  realtime: { transport: class {} }
}
const anon = () => createClient(SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, options)
const service = createClient(SUPABASE_URL, SUPABASE_SECRET_KEY, options)
const password = 'correct horse'
const email = `js-${process.pid}-${Date.now()}@example.com`
const png = new Blob([new Uint8Array([137, 80, 78, 71, 0, 255])], { type: 'image/png' })

function ok({ data, error }) {
  assert.equal(error, null)
  return data
}

test('sign up, sign in, refresh, getUser, getClaims, sign out', async () => {
  const client = anon()
  const { user, session } = ok(await client.auth.signUp({ email, password }))
  assert.equal(user.email, email)
  assert.equal(user.identities.length, 1)
  assert.equal(session.token_type, 'bearer')

  const signedIn = ok(await client.auth.signInWithPassword({ email, password }))
  assert.equal(signedIn.user.id, user.id)
  assert.equal(ok(await client.auth.getUser()).user.id, user.id)
  const { claims } = ok(await client.auth.getClaims())
  assert.equal(claims.sub, user.id)

  const refreshed = ok(await client.auth.refreshSession())
  assert.notEqual(refreshed.session.refresh_token, signedIn.session.refresh_token)
  assert.equal(ok(await client.auth.getUser()).user.id, user.id)

  assert.equal((await client.auth.signOut()).error, null)
  assert.equal(ok(await client.auth.getSession()).session, null)
  const after = await anon().auth.getUser(refreshed.session.access_token)
  assert.equal(after.error.name, 'AuthSessionMissingError')
})

test('a wrong password has its error code', async () => {
  const { data, error } = await anon().auth.signInWithPassword({ email, password: 'wrong one' })
  assert.equal(data.session, null)
  assert.equal(error.code, 'invalid_credentials')
  assert.equal(error.status, 400)
  assert.equal(error.message, 'Invalid login credentials')
})

test('a weak password says why, a taken address that it is', async () => {
  const weak = await anon().auth.signUp({ email: 'w@example.com', password: 'short' })
  assert.equal(weak.error.name, 'AuthWeakPasswordError')
  const taken = await anon().auth.signUp({ email, password })
  assert.equal(taken.error.code, 'user_already_exists')
})

test('an anonymous user signs in', async () => {
  const { user } = ok(await anon().auth.signInAnonymously())
  assert.equal(user.is_anonymous, true)
})

test('the service administers users', async () => {
  const address = `admin-${Date.now()}@example.com`
  const made = ok(
    await service.auth.admin.createUser({ email: address, password, email_confirm: true })
  )
  assert.ok(ok(await service.auth.admin.listUsers()).users.some(({ id }) => id === made.user.id))
  ok(await service.auth.admin.deleteUser(made.user.id))
  const gone = await service.auth.admin.getUserById(made.user.id)
  assert.equal(gone.error.code, 'user_not_found')
  const refused = await anon().auth.admin.listUsers()
  assert.equal(refused.error.code, 'not_admin')
})

test('a frontend reads its own rows, with what belongs to them', async () => {
  const client = anon()
  ok(await client.auth.signInWithPassword({ email, password }))
  const [note] = ok(await client.from('notes').insert({ body: 'from JS' }).select())
  assert.equal(note.body, 'from JS')
  const other = anon()
  ok(await other.auth.signInAnonymously())
  assert.deepEqual(ok(await other.from('notes').select()), [])

  const { data, count, error } = await client
    .from('books')
    .select('title, author:authors!inner(name, country)', { count: 'exact' })
    .eq('author.country', 'US')
    .or('price.gt.10,title.ilike.*lathe*')
    .order('price', { ascending: false, nullsFirst: false })
    .range(0, 0)
  assert.equal(error, null)
  assert.equal(count, 2)
  assert.deepEqual(data, [
    { title: 'The Dispossessed', author: { name: 'Ursula', country: 'US' } }
  ])
})

test('single, maybeSingle, head and in', async () => {
  const client = anon()
  const one = ok(await client.from('authors').select('name').eq('id', 1).single())
  assert.deepEqual(one, { name: 'Ursula' })
  assert.equal(ok(await client.from('authors').select().eq('id', 99).maybeSingle()), null)
  const none = await client.from('authors').select().eq('id', 99).single()
  assert.equal(none.error.code, 'PGRST116')
  assert.equal(none.status, 406)
  const head = await client.from('books').select('*', { count: 'exact', head: true })
  assert.equal(head.count, 5)
  const some = ok(await client.from('books').select('id').in('title', ['Solaris', 'a, (b)']))
  assert.deepEqual(some, [{ id: 3 }])
})

test('insert, upsert, update, delete', async () => {
  ok(await service.from('authors').insert([{ id: 100, name: 'J' }, { id: 101, name: 'S' }]))
  const upserted = await service.from('authors').upsert({ id: 100, name: 'JJ' }).select().single()
  assert.equal(upserted.status, 200)
  assert.equal(ok(upserted).name, 'JJ')
  const [updated] = ok(
    await service.from('authors').update({ country: 'JS' }).eq('id', 101).select('country')
  )
  assert.deepEqual(updated, { country: 'JS' })
  const duplicate = await service.from('authors').insert({ id: 100, name: 'again' })
  assert.equal(duplicate.error.code, '23505')
  assert.equal(duplicate.status, 409)
  const { count } = await service.from('authors').delete({ count: 'exact' }).gte('id', 100)
  assert.equal(count, 2)
})

test('functions', async () => {
  const client = anon()
  assert.equal(ok(await client.rpc('add', { a: 1, b: 2 })), 3)
  assert.equal(ok(await client.rpc('add', { a: 1 }, { get: true })), 11)
  assert.deepEqual(ok(await client.rpc('squares', { up_to: 3 }).gt('n', 2)), [{ n: 3, square: 9 }])
  const refused = await client.rpc('refuse', { status: 'PT402' })
  assert.equal(refused.status, 402)
  assert.equal(refused.error.details, 'Because')
  const missing = await client.rpc('nothing_of_that_name')
  assert.equal(missing.error.code, 'PGRST202')
})

test('upload, list, sign, fetch, download, remove', async () => {
  const client = anon()
  const { user } = ok(await client.auth.signInWithPassword({ email, password }))
  const bucket = client.storage.from('private')
  const path = `${user.id}/folder/photo.png`
  assert.equal(ok(await bucket.upload(path, png, { contentType: 'image/png' })).path, path)

  const twice = await bucket.upload(path, png)
  assert.equal(twice.error.message, 'The resource already exists')
  assert.equal(twice.error.statusCode, '409')
  const foreign = await bucket.upload('somebody/else.png', png)
  assert.equal(foreign.error.statusCode, '403')

  assert.deepEqual(ok(await bucket.list(user.id)).map(({ name, id }) => [name, id]), [
    ['folder', null]
  ])
  assert.equal(ok(await bucket.list(`${user.id}/folder`))[0].metadata.size, png.size)

  const { signedUrl } = ok(await bucket.createSignedUrl(path, 60))
  const opened = await fetch(signedUrl)
  assert.equal(opened.headers.get('content-type'), 'image/png')
  assert.deepEqual(await opened.arrayBuffer(), await png.arrayBuffer())
  const [first, second] = ok(await bucket.createSignedUrls([path, 'missing.png'], 60))
  assert.equal((await fetch(first.signedUrl)).status, 200)
  assert.equal(second.signedUrl, null)
  assert.ok(second.error)

  const blob = ok(await bucket.download(path))
  assert.deepEqual(await blob.arrayBuffer(), await png.arrayBuffer())
  assert.equal(ok(await bucket.info(path)).size, png.size)
  assert.equal(ok(await bucket.exists(path)), true)
  assert.equal(ok(await bucket.remove([path]))[0].name, path)
  assert.equal((await bucket.download(path)).data, null)
})

test('a raw body is uploaded as well', async () => {
  const bucket = service.storage.from('open')
  const bytes = new Uint8Array([1, 2, 3])
  const stored = await bucket.upload('js.bin', bytes, { contentType: 'image/png', upsert: true })
  ok(stored)
  const { publicUrl } = bucket.getPublicUrl('js.bin').data
  assert.deepEqual(new Uint8Array(await (await fetch(publicUrl)).arrayBuffer()), bytes)
  ok(await bucket.remove(['js.bin']))
})
