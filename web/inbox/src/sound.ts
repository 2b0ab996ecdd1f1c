/** The sound of a new alert. Loaded with the first. */

/** Two soft notes. Browsers allow them only after the person has done something on the page. */
export function ring(): void {
  if (!navigator.userActivation?.hasBeenActive) return;
  const audio = new AudioContext();
  const gain = new GainNode(audio, { gain: 0.08 });
  gain.connect(audio.destination);
  [880, 1320].forEach((frequency, at) => {
    const note = new OscillatorNode(audio, { frequency });
    note.connect(gain);
    note.start(audio.currentTime + at * 0.12);
    note.stop(audio.currentTime + at * 0.12 + 0.1);
    if (at) note.onended = () => void audio.close();
  });
}
