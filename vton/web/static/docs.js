// Shows /openapi.json. Nothing is asked of anybody else: no validator badge, no stored token.
SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#docs',
  presets: [SwaggerUIBundle.presets.apis],
  validatorUrl: null,
  deepLinking: true,
  docExpansion: 'list',
});
