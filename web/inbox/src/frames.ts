/** Drawing once a frame, however often it is asked for. */

/** A page that is not shown has no frames: there it is drawn after this time. */
const WITHOUT_FRAMES_MS = 250;

export interface Drawing {
  /** With the next frame. */
  ask(): void;
  /** At once, for what the person has just done. */
  now(): void;
  stop(): void;
}

export function onceAFrame(draw: () => void): Drawing {
  let frame = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stop = () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    timer = undefined;
  };
  const now = () => {
    stop();
    draw();
  };
  return {
    ask() {
      if (timer !== undefined) return;
      timer = setTimeout(now, WITHOUT_FRAMES_MS);
      frame = requestAnimationFrame(now);
    },
    now,
    stop,
  };
}
