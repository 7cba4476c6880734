// The library above has put itself at globalThis.vis; canvases that wait for it hear so.
export default function () {
  document.dispatchEvent(new CustomEvent("latents:vis"));
}
