/**
 * Run the specification's `handleTryOn` in Node and print what it told its callbacks.
 *
 *     node handle_try_on.mjs <file of handleTryOn> <photo> <garment id>
 */

import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { pathToFileURL } from 'node:url';

const [file, photo, garmentId] = process.argv.slice(2);
const { handleTryOn } = await import(pathToFileURL(file).href);

const told = { statuses: [], success: null, error: null };
await handleTryOn(new File([await readFile(photo)], basename(photo)), garmentId, {
  onStatusChange: (status) => told.statuses.push(status),
  onSuccess: (url) => (told.success = url),
  onError: (message) => (told.error = message),
});
console.log(JSON.stringify(told));
