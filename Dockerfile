# The two processes in one image; docs/deploy/compose.yml runs it.
FROM python:3.11-slim

WORKDIR /app
RUN useradd --system --uid 10001 --no-create-home vton

COPY requirements.txt ./
RUN pip install --no-cache-dir --require-hashes -r requirements.txt

COPY config.py wsgi.py worker.py gunicorn.conf.py ./
COPY supabase/migrations ./supabase/migrations
COPY clients/js ./clients/js
COPY vton ./vton
RUN python -m compileall -q .

USER vton
ENV PYTHONUNBUFFERED=1 PORT=8000
EXPOSE 8000
HEALTHCHECK --start-period=20s --timeout=5s \
  CMD python -c "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/health/live')"
CMD ["gunicorn", "wsgi:app", "-c", "gunicorn.conf.py"]
