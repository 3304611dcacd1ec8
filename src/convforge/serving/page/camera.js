/** The camera: one frame after the other, as fast as the classifier takes them. */

import { find } from "./dom.js";

const REASONS = {
  NotAllowedError: "This page may not use the camera: allow it in the browser and try again.",
  NotFoundError: "No camera was found.",
  NotReadableError: "The camera is in use by another program.",
};

/**
 * Starts the camera and calls `each(video)` for its frames, one when the last is done, until `stop`
 * of the result is called.
 * Throws an Error in words for people.
 */
export async function startCamera(each) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    throw new Error(REASONS[error.name] ?? "This browser gives the page no camera.");
  }
  const video = find("camera");
  video.srcObject = stream;
  await video.play();
  let running = true;
  const next = async () => {
    if (!running) {
      return;
    }
    if (video.videoWidth) {
      await each(video);
    }
    // A timer between two frames: the page has to answer meanwhile.
    setTimeout(() => requestAnimationFrame(next), 30);
  };
  next();
  return {
    video,
    stop() {
      running = false;
      stream.getTracks().forEach((track) => track.stop());
      video.srcObject = null;
    },
  };
}
