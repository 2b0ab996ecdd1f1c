/** The sound of a new alert. Loaded with the first. */

let isRinging = false;

/**
 * Two soft notes, once for alerts that come together. Browsers allow them only after the person has done something on
 * the page.
 */
export function ring(): void {
  if (isRinging || !navigator.userActivation?.hasBeenActive) return;
  isRinging = true;
  const audio = new AudioContext();
  const gain = new GainNode(audio, { gain: 0.08 });
  gain.connect(audio.destination);
  [880, 1320].forEach((frequency, at) => {
    const note = new OscillatorNode(audio, { frequency });
    note.connect(gain);
    note.start(audio.currentTime + at * 0.12);
    note.stop(audio.currentTime + at * 0.12 + 0.1);
  });
  // Told by a timer, because a sound that the browser keeps waiting never ends.
  setTimeout(() => {
    isRinging = false;
    void audio.close();
  }, QUIET_AFTER_MS);
}
/** How long after a sound there is none. */
const QUIET_AFTER_MS = 1_000;
