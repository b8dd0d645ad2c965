const page = document.getElementById("swagger-ui");

// Swagger UI has dark colours, but applies them only by a switch of a layout that this page does not use.
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const applyColours = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", applyColours);
applyColours();

SwaggerUIBundle({
  url: page.dataset.document,
  domNode: page,
  deepLinking: true,
  tryItOutEnabled: true,
  // Keep the key when the page is reloaded, in the browser's local storage.
  persistAuthorization: true,
  // Swagger UI would otherwise ask a server on the internet to judge the document.
  validatorUrl: null,
});
