/** Elements of the page, found by their id and made by their tag. */

export const find = (id) => document.getElementById(id);

/** An element with these properties and children; text is text, never markup. */
export function make(tag, properties = {}, ...children) {
  const { style = {}, ...rest } = properties;
  const element = Object.assign(document.createElement(tag), rest);
  for (const [name, value] of Object.entries(style)) {
    element.style.setProperty(name, value);
  }
  element.append(...children);
  return element;
}

/** Shows the elements of `shown` and hides those of `hidden`, all by their ids. */
export function swap({ shown = [], hidden = [] }) {
  shown.forEach((id) => (find(id).hidden = false));
  hidden.forEach((id) => (find(id).hidden = true));
}

/** Lets the browser draw and answer before the page goes on computing. */
export const breathe = () => new Promise((resolve) => setTimeout(resolve));

/** 0.1234 as "12.3 %"; what is not quite nothing or everything is not called so. */
export function percent(share) {
  const digits = share > 0.9995 || share < 0.0005 ? 2 : 1;
  if (share > 0 && share < 0.0001) {
    return "< 0.01 %";
  }
  return `${(100 * share).toFixed(digits)} %`;
}
