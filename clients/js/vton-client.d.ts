/** A client of the virtual try-on service. Everything that fails throws a `VtonError`. */

export type Status = 'queued' | 'processing' | 'success' | 'failed';

/** Why a request was refused. */
export type RequestErrorCode =
  | 'bad_request' | 'token_missing' | 'token_expired' | 'token_invalid' | 'admin_login_needed'
  | 'metrics_token_needed' | 'read_only' | 'not_found' | 'session_not_found' | 'method_not_allowed'
  | 'not_acceptable'
  | 'upload_too_slow' | 'form_too_large' | 'photo_too_large' | 'url_too_long' | 'photo_unsupported'
  | 'photo_unreadable' | 'photo_too_small' | 'photo_too_many_pixels' | 'headers_too_large'
  | 'invalid_fields' | 'internal' | 'unavailable' | 'keys_unavailable' | 'idempotency_key_invalid'
  | 'idempotency_in_progress' | 'idempotency_mismatch' | 'too_many_unfinished' | 'daily_quota'
  | 'rate_limited' | 'busy' | 'provider_paused' | 'paused' | 'paid_cap_reached';

/** Why a try-on that was accepted failed. */
export type FailureCode =
  | 'photo_rejected' | 'garment_missing' | 'provider_failed' | 'provider_unavailable'
  | 'provider_uncertain' | 'result_unusable' | 'deadline_exceeded' | 'interrupted'
  | 'paid_cap_reached';

/**
 * What went wrong here: the service was not reached, did not answer in time, or something else
 * answered in its place; or the try-on was cancelled.
 */
export type ClientErrorCode = 'network' | 'timeout' | 'bad_answer' | 'cancelled';

/** A later release may have more: let a `default` go by `retryable`. */
export type VtonErrorCode = RequestErrorCode | FailureCode | ClientErrorCode;

export interface Garment {
  id: string;
  name: string;
  brand: string | null;
  category: string | null;
  /** Opens the picture; expires, so show it and do not store it. */
  imageUrl: string | null;
  /** The same. */
  image_url: string | null;
  /** Opens a small one, of 384 pixels. */
  thumbnailUrl: string | null;
  created_at: string;
}

export interface Started {
  sessionId: string;
  status: 'queued';
  urls: { status: string; delete: string };
}

/** Why a try-on failed: `hint` is for its user, in their language. */
export interface Failure {
  code: FailureCode;
  hint: string;
  retryable: boolean;
}

interface AnyStatus {
  sessionId: string;
  /** When to ask again, in seconds; null at the end. */
  retryAfterSeconds: number | null;
  /** When the picture should be there, in seconds; null where that is not known. */
  etaSeconds: number | null;
}

export interface Unfinished extends AnyStatus {
  status: 'queued' | 'processing';
  resultImageUrl: null;
  result_image_url: null;
  thumbnailUrl: null;
  resultExpiresAt: null;
  error_message: null;
  error: null;
}

export interface Success extends AnyStatus {
  status: 'success';
  /** Opens the picture until `resultExpiresAt`: show it and do not store it. */
  resultImageUrl: string;
  /** The same. */
  result_image_url: string;
  /** Opens a small one, of 384 pixels; null where there is none. */
  thumbnailUrl: string | null;
  resultExpiresAt: string | null;
  error_message: null;
  error: null;
}

export interface Failed extends AnyStatus {
  status: 'failed';
  resultImageUrl: null;
  result_image_url: null;
  thumbnailUrl: null;
  resultExpiresAt: null;
  /** What happened, for the user, in their language. */
  error_message: string;
  error: Failure;
}

export type SessionStatus = Unfinished | Success | Failed;

/** A try-on in a list: the table's columns, with URLs that expire in place of paths. */
export interface HistoryItem {
  id: string;
  /** The same. */
  sessionId: string;
  user_id: string;
  garment_id: string | null;
  status: Status;
  /** Opens the photo. */
  original_user_image_url: string | null;
  /** Opens the picture. */
  resultImageUrl: string | null;
  /** The same. */
  result_image_url: string | null;
  /** Opens a small one, of 384 pixels; null where there is none. */
  thumbnailUrl: string | null;
  error_message: string | null;
  error: Failure | null;
  aiGenerated: boolean;
  created_at: string;
  /** Null when the shop no longer has it. */
  garment: {
    id: string;
    name: string;
    brand: string | null;
    category: string | null;
    image_url: string | null;
  } | null;
}

/** Pass `nextCursor` as `cursor` to go on; it is null at the end. */
export interface Page<T> {
  items: T[];
  nextCursor: string | null;
}

export interface UploadProgress {
  /** Bytes that were sent. */
  loaded: number;
  /** Bytes that there are. */
  total: number;
  /** `loaded` of `total`, 0 to 1. */
  fraction: number;
}

/** A photo to send, or the photo of another of the user's own try-ons, which is not sent again. */
export type Photo = Blob | { photoOf: string };

interface Stoppable {
  /** Stops the waiting, not the try-on: what was called rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

export interface StartOptions extends Stoppable {
  /** One key for each try-on that is wanted: the same one finds the same try-on, for a day. */
  idempotencyKey?: string | undefined;
  /** Called while the photo is being sent, in browsers. */
  onUploadProgress?: ((progress: UploadProgress) => void) | undefined;
}

export interface WaitOptions extends Stoppable {
  /** Called when a status is seen for the first time. */
  onStatus?: ((status: Status, session: SessionStatus | Started) => void) | undefined;
  /** Called for every answer, with its `etaSeconds`. */
  onUpdate?: ((session: SessionStatus) => void) | undefined;
  /** Stop waiting after so many milliseconds, with a `VtonError` of the code `timeout`. */
  timeout?: number | undefined;
}

/** A promise of the picture, and a way to be rid of it. */
export interface TryOn extends Promise<Success> {
  /** Null until the service has accepted it. */
  readonly sessionId: string | null;
  /** Stop it and delete it with its photo, also if it is being sent. Rejects as a delete does. */
  cancel(): Promise<void>;
}

/** The callbacks of the specification's `handleTryOn`. */
export interface HandleTryOnCallbacks {
  onStatusChange?: ((status: Status) => void) | undefined;
  onSuccess?: ((imageUrl: string) => void) | undefined;
  onError?: ((message: string) => void) | undefined;
}

export interface Client {
  /** List what can be tried on, newest first: all of it unless `limit` is given. */
  listGarments(
    query?: {
      category?: string | undefined;
      limit?: number | undefined;
      cursor?: string | null | undefined;
    } & Stoppable,
  ): Promise<Page<Garment>>;

  /**
   * Try a garment on: send the photo (made smaller where it is huge), wait, and answer the picture.
   *
   * The same photo and garment while that is under way is the same try-on, and so is one after an
   * error: what was paid for is found again. Only when it has ended another one begins.
   */
  tryOn(
    photo: Photo,
    garmentId: string,
    options?: WaitOptions & Pick<StartOptions, 'onUploadProgress'>,
  ): TryOn;

  /** Wait for a try-on that was started before, for instance before the page was reloaded. */
  resume(sessionId: string, options?: WaitOptions): TryOn;

  /** List the user's try-ons that are under way, newest first. */
  unfinished(options?: Stoppable): Promise<HistoryItem[]>;

  /** Start a try-on, and do not wait for it. Every call is one of its own, by its key. */
  startTryOn(photo: Photo, garmentId: string, options?: StartOptions): Promise<Started>;

  /** Ask once how a try-on is getting on. A failed one is an answer, too, not an exception. */
  getStatus(sessionId: string, options?: Stoppable): Promise<SessionStatus>;

  /** Poll a try-on to its end, through interruptions. A failed one throws. */
  waitForResult(sessionId: string, options?: WaitOptions): Promise<Success>;

  /** List the user's try-ons, newest first; without a `status`, those that have ended. */
  listHistory(
    query?: {
      status?: 'ended' | 'unfinished' | 'all' | undefined;
      limit?: number | undefined;
      cursor?: string | null | undefined;
    } & Stoppable,
  ): Promise<Page<HistoryItem>>;

  /** Delete a try-on in any state, its photo and its picture. A running one is stopped. */
  deleteSession(sessionId: string, options?: Stoppable): Promise<void>;

  /** The specification's function, on top of `tryOn`. It never rejects. */
  handleTryOn(photo: Photo, garmentId: string, callbacks?: HandleTryOnCallbacks): Promise<void>;
}

export interface ClientOptions {
  /** Where the service is; by default where the page is. */
  baseUrl?: string | undefined;
  /**
   * Return the user's access token. Called for each request, and with `renew` once more when the
   * service says that a token is no longer good.
   */
  getToken?:
    | ((why: { renew: boolean }) => string | null | undefined | Promise<string | null | undefined>)
    | undefined;
  /** The language of messages and hints (`id`, `en`); by default the browser's. */
  language?: string | undefined;
  /** The client's own English sentences in a language that it does not have. */
  words?: Readonly<Record<string, string>> | undefined;
}

export function createClient(options?: ClientOptions): Client;

/**
 * Make a huge photo smaller: at most 2048 pixels a side, as a JPEG. What is small enough, or of a
 * kind that this browser cannot read, is returned as it is.
 */
export function prepare(photo: Blob): Promise<Blob>;

/** Return a key that no other try-on has: a UUID (version 4). */
export function newIdempotencyKey(): string;

export interface VtonErrorDetails {
  code?: VtonErrorCode | undefined;
  hint?: string | undefined;
  retryable?: boolean | undefined;
  status?: number | undefined;
  requestId?: string | null | undefined;
  detail?: string | null | undefined;
  errors?: Record<string, string[]> | null | undefined;
  retryAfterSeconds?: number | null | undefined;
  sessionId?: string | null | undefined;
  cause?: unknown;
}

/** What went wrong: `message` and `hint` for people, in their language, the rest for programs. */
export class VtonError extends Error {
  constructor(message: string, details?: VtonErrorDetails);
  readonly code: VtonErrorCode;
  /** What to do about it, for people. */
  readonly hint: string;
  /** Whether the same call can succeed later. `tryOn` again never pays for what is under way. */
  readonly retryable: boolean;
  /** The HTTP status; 0 without an answer. */
  readonly status: number;
  /** Quote it when you ask the operator. */
  readonly requestId: string | null;
  /** What a programmer has to know, in English. */
  readonly detail: string | null;
  /** The wrong fields, and why. */
  readonly errors: Record<string, string[]> | null;
  /** Not before. */
  readonly retryAfterSeconds: number | null;
  /** The try-on that it is about, once one was accepted. */
  sessionId: string | null;
}
