/** The page: where a picture comes from, what is shown of it, and its views. */

import { startCamera } from "./camera.js";
import { showCard } from "./card.js";
import { showCosts } from "./cost.js";
import { find, make, percent, swap } from "./dom.js";
import { drawEvidence, findEvidence, findHeat, hasHeat } from "./evidence.js";
import { Inside } from "./inside.js";
import { openPicture, partSeen, readPixels, shrink } from "./picture.js";
import { best, sayResult, showBars, showTiming } from "./results.js";

const LARGEST_VIEW = 1600; // pixels along a side of the canvas that shows the picture

/**
 * Brings the page to life.
 * @param {Promise<Classifier>} loading what `load` of classifier.js gives, or a Remote of server.js,
 *   which answers later
 * @param {object} facts what the page knows beside the card: precision, deviation; or nothing
 * @param {{name: string, blob: Blob}[]} examples pictures to try
 */
export async function start(loading, facts, examples) {
  showTabs();
  let classifier;
  try {
    classifier = await loading;
    // The first run, which is slow, and the proof that this browser computes what the model did.
    if (!(await classifier.selftest())) {
      throw new Error(
        "This browser computes something else than the model did, so its answers mean nothing.",
      );
    }
  } catch (error) {
    report(error);
    find("waiting").textContent = "The classifier could not be started.";
    return;
  }
  const page = new Page(classifier);
  showCard(classifier, facts);
  showCosts(classifier);
  find("results").ariaBusy = "false";
  find("waiting").textContent = "Ready: give it a picture.";
  page.listen();
  await page.showExamples(examples);
}

class Page {
  #classifier;
  #inside;
  #camera = null;
  #image = null;
  #part = null;
  #index = 0;
  #turn = 0; // counts pictures, so that what belongs to an earlier one is dropped

  constructor(classifier) {
    this.#classifier = classifier;
    this.#inside = new Inside(classifier);
  }

  listen() {
    find("choose").addEventListener("click", () => find("file").click());
    find("file").addEventListener("change", ({ target }) => {
      this.#take([...target.files]);
      target.value = ""; // so that the same file can be chosen again
    });
    document.addEventListener("paste", (event) => {
      if (event.clipboardData.files.length) {
        event.preventDefault();
        this.#take([...event.clipboardData.files]);
      }
    });
    find("film").addEventListener("click", () => this.#film());
    find("take").addEventListener("click", () => this.#freeze());
    find("stop").addEventListener("click", () => {
      this.#turn++;
      this.#stopCamera();
    });
    find("why").addEventListener("click", () => this.#explain((image) => this.#heat(image)));
    find("cover").addEventListener("click", () => this.#explain((image) => this.#cover(image)));
    find("why").hidden = !hasHeat(this.#classifier);
    this.#listenToDrops();
  }

  #listenToDrops() {
    const show = (over) => document.body.classList.toggle("dropping", over);
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
      show(true);
    });
    document.addEventListener("dragleave", (event) => show(event.relatedTarget !== null));
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      show(false);
      this.#take([...event.dataTransfer.files]);
    });
  }

  /** The examples as buttons; the first one is classified, so that nobody has to look for one. */
  async showExamples(examples) {
    const list = find("examples").querySelector("ul");
    for (const { name, blob } of examples) {
      const image = make("img", { alt: "", src: URL.createObjectURL(blob) });
      const button = make("button", { type: "button", title: name, ariaLabel: `Example: ${name}` }, image);
      button.addEventListener("click", () => this.#open(blob));
      list.append(make("li", {}, button));
    }
    find("examples").hidden = !examples.length;
    if (examples.length) {
      await this.#open(examples[0].blob);
    }
  }

  async #take(files) {
    if (!files.length) {
      report(new Error("That was no file: drop or paste a picture itself, or save it first."));
      return;
    }
    await this.#open(files[0]);
  }

  async #open(blob) {
    const turn = ++this.#turn;
    try {
      const bitmap = await openPicture(blob);
      try {
        if (turn === this.#turn) {
          this.#stopCamera();
          await this.#show(bitmap, bitmap.width, bitmap.height, blob);
        }
      } finally {
        bitmap.close();
      }
    } catch (error) {
      this.#fail(error, turn);
    }
  }

  /** Shows and classifies what a bitmap or a video shows now; `file` is where that came from. */
  async #show(source, width, height, file = null) {
    this.#draw(source, width, height);
    find("why-row").hidden = true;
    const image = { ...readPixels(source, width, height), file };
    const probabilities = await this.#predict(image);
    if (!probabilities) {
      return;
    }
    sayResult(probabilities, this.#classifier.classes);
    this.#image = image;
    this.#inside.give(image, this.#part);
    this.#index = best(probabilities, 1)[0];
    find("hint").textContent = "";
    find("why-row").hidden = false;
  }

  /** Shows and gives the probabilities; null where there is another picture meanwhile. */
  async #predict(image) {
    const turn = this.#turn;
    const begin = performance.now();
    const probabilities = await this.#classifier.predict(image);
    const time = performance.now() - begin;
    if (turn !== this.#turn) {
      return null;
    }
    report(null);
    showBars(probabilities, this.#classifier.classes);
    showTiming(time, image, this.#classifier.where);
    return probabilities;
  }

  /** Shows what went wrong with a picture, unless there is another meanwhile. */
  #fail(error, turn) {
    if (turn === this.#turn) {
      report(error);
    }
  }

  #draw(source, width, height) {
    const canvas = find("picture");
    const scale = Math.min(1, LARGEST_VIEW / Math.max(width, height));
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(source, 0, 0, canvas.width, canvas.height);
    // Small pictures are shown as what they are: pixels.
    canvas.className = Math.max(width, height) < 100 ? "pixels" : "";
    find("view").style.setProperty("--ratio", width / height);
    swap({ shown: ["view"], hidden: ["invitation", "evidence"] });
    this.#frameSeen(width, height);
  }

  /** A frame around what the preprocessing keeps; none where that is nearly everything. */
  #frameSeen(width, height) {
    const part = partSeen(this.#classifier.card.preprocess, width, height);
    this.#part = part;
    find("seen").hidden = part.width * part.height > 0.98;
    for (const id of ["seen", "evidence"]) {
      for (const [side, share] of Object.entries(part)) {
        find(id).style[side] = `${100 * share}%`;
      }
    }
  }

  async #film() {
    const turn = ++this.#turn;
    find("film").disabled = true;
    try {
      const camera = await startCamera(async (video) => {
        try {
          await this.#predict(readPixels(video, video.videoWidth, video.videoHeight));
        } catch (error) {
          this.#fail(error, turn);
        }
      });
      if (turn !== this.#turn) {
        camera.stop();
        return;
      }
      this.#camera = camera;
      swap({
        shown: ["camera", "take", "stop"],
        hidden: ["view", "invitation", "choose", "film", "why-row"],
      });
      find("take").focus();
    } catch (error) {
      report(error);
    } finally {
      find("film").disabled = false;
    }
  }

  async #freeze() {
    const { video } = this.#camera;
    const turn = ++this.#turn;
    const shown = this.#show(video, video.videoWidth, video.videoHeight);
    this.#stopCamera();
    try {
      await shown;
    } catch (error) {
      this.#fail(error, turn);
    }
  }

  #stopCamera() {
    if (!this.#camera) {
      return;
    }
    this.#camera.stop();
    this.#camera = null;
    swap({ shown: ["choose", "film"], hidden: ["camera", "take", "stop"] });
    if (find("view").hidden) {
      swap(this.#image ? { shown: ["view", "why-row"] } : { shown: ["invitation"] });
    }
    find("film").focus();
  }

  /** Draws what `search` finds for the picture, and says it; nothing where it finds null. */
  async #explain(search) {
    const turn = this.#turn;
    const buttons = [find("why"), find("cover")];
    buttons.forEach((button) => (button.disabled = true));
    try {
      const found = await search(this.#image);
      if (found && turn === this.#turn) {
        drawEvidence(find("evidence"), found);
        find("evidence").hidden = false;
        find("view").scrollIntoView({ block: "nearest" }); // which a small screen may not show
        find("hint").textContent = found.words;
        find("spoken").textContent = found.words;
      }
    } catch (error) {
      report(error);
    } finally {
      buttons.forEach((button) => (button.disabled = false));
    }
  }

  async #heat(image) {
    const found = await findHeat(this.#classifier, image, this.#index);
    return { ...found, words: heatInWords(found, this.#classifier.classes[this.#index]) };
  }

  async #cover(image) {
    const turn = this.#turn;
    const { resize } = this.#classifier.card.preprocess;
    const small = shrink(image, 2 * (Array.isArray(resize) ? Math.max(...resize) : resize));
    const found = await findEvidence(this.#classifier, small, {
      index: this.#index,
      part: this.#part,
      progress: (share) => {
        find("hint").textContent = `Covering the picture patch by patch: ${Math.round(100 * share)} %`;
        return turn === this.#turn;
      },
    });
    return found && { ...found, words: dropsInWords(found, this.#classifier.classes[this.#index]) };
  }
}

function heatInWords({ grid }, name) {
  return Math.max(...grid) > 0
    ? `The stronger the colour of a place, the more of what the network sees there speaks for “${name}”, by Grad-CAM.`
    : `Nothing on the picture speaks for “${name}” by Grad-CAM.`;
}

function dropsInWords({ grid, whole }, name) {
  const most = Math.max(...grid);
  return most < 0.01
    ? `No single patch matters: covering any of them leaves “${name}” within 1 % of ${percent(whole)}.`
    : `The stronger the colour of a place, the more of the ${percent(whole)} for “${name}” was lost when it was covered; up to ${percent(most)}.`;
}

/** Tabs by mouse and by the arrow keys, as the ARIA Authoring Practices have them. */
function showTabs() {
  const tabs = [...document.querySelectorAll('[role="tab"]')];
  const select = (chosen) => {
    for (const tab of tabs) {
      tab.ariaSelected = String(tab === chosen);
      tab.tabIndex = tab === chosen ? 0 : -1;
      find(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
    }
    find(chosen.getAttribute("aria-controls")).dispatchEvent(new Event("shown"));
  };
  tabs.forEach((tab, place) => {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", ({ key }) => {
      const steps = { ArrowRight: 1, ArrowLeft: -1 };
      const ends = { Home: 0, End: tabs.length - 1 };
      const next = key in ends ? ends[key] : (place + (steps[key] ?? 0) + tabs.length) % tabs.length;
      if (next !== place) {
        select(tabs[next]);
        tabs[next].focus();
      }
    });
  });
}

/** Shows what went wrong; null takes it away. */
function report(error) {
  const place = find("trouble");
  place.hidden = !error;
  place.textContent = error ? error.message : "";
}
