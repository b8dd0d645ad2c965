const page = document.getElementById("swagger-ui");

SwaggerUIBundle({
  url: page.dataset.document,
  domNode: page,
  deepLinking: true,
  tryItOutEnabled: true,
  // Swagger UI would otherwise ask a server on the internet to judge the document.
  validatorUrl: null,
});
